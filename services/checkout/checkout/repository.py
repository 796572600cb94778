"""Queries that read, list and lock checkouts."""

from collections.abc import Mapping, Sequence
from typing import Any

from events.database import transaction
from sqlalchemy import ColumnElement, cast, exists, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from checkout.errors import CheckoutNotFoundError
from checkout.models import Checkout


def get_checkout(session: Session, checkout_id: str) -> Checkout:
    """Return a checkout. Raises `CheckoutNotFoundError`."""
    return _known(session.get(Checkout, checkout_id))


def lock_checkout(session: Session, checkout_id: str) -> Checkout:
    """Lock a checkout until the transaction ends and return it. Raises `CheckoutNotFoundError`."""
    return _known(lock_checkout_if_known(session, checkout_id))


def lock_checkout_if_known(session: Session, checkout_id: str) -> Checkout | None:
    """Lock a checkout until the transaction ends and return it; return None if no checkout has this id."""
    return transaction.lock_rows(session, Checkout, [checkout_id]).get(checkout_id)


def list_checkouts(session: Session, filters: Mapping[str, Any], before: str | None, limit: int) -> Sequence[Checkout]:
    """Return at most `limit` checkouts that match all filters, newest first, before the id `before`."""
    statement = select(Checkout).where(Checkout.status == filters["status"]).order_by(Checkout.id.desc()).limit(limit)
    for name in ("payment_status", "customer_email", "discount_code", "client_key"):
        if filters[name] is not None:
            statement = statement.where(getattr(Checkout, name) == filters[name])
    if filters["sku"] is not None:
        statement = statement.where(_has_line(session, filters["sku"]))
    if before is not None:
        statement = statement.where(Checkout.id < before)
    return session.scalars(statement).all()


def _has_line(session: Session, sku: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return cast(Checkout.lines, JSONB).contains([{"sku": sku}])
    line = func.json_each(Checkout.lines).table_valued("value")
    return exists(select(1).select_from(line).where(func.json_extract(line.c.value, "$.sku") == sku))


def _known(checkout: Checkout | None) -> Checkout:
    if checkout is None:
        raise CheckoutNotFoundError
    return checkout
