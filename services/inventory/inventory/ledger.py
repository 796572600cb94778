"""What is on hand, and the movements that explain every change of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update, insert_once
from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory import schemas
from inventory.models import ADJUSTMENT, OPENING, Movement, Stock


class BelowReserved(Exception):  # noqa: N818 - an answer, not an error
    """Fewer pieces than open checkouts have been promised, or fewer than none."""

    def __init__(self, stock: Stock, on_hand: int) -> None:
        self.reserved, self.on_hand = stock.reserved, on_hand
        super().__init__(f"{stock.sku}: {on_hand} on hand, {stock.reserved} reserved")


class UnknownSku(Exception):  # noqa: N818 - an answer, not an error
    """There is nothing to add to or take from."""


def move(
    session: Session,
    stock: Stock,
    kind: str,
    delta: int,
    *,
    reason: str,
    actor: str,
    at: datetime,
    checkout_id: str | None = None,
    return_id: str | None = None,
) -> None:
    """Change what is on hand and write down why. The stock row must be locked."""
    stock.on_hand += delta
    note = {"checkout_id": checkout_id, "return_id": return_id, "reason": reason, "actor": actor}
    session.add(Movement(sku=stock.sku, kind=kind, delta=delta, at=at, **note))


def set_on_hand(session: Session, sku: str, on_hand: int, *, reason: str, actor: str, at: datetime) -> Stock:
    """Somebody counted: that many are on the shelf. Raises `BelowReserved`."""
    insert_once(session, Stock, sku=sku, on_hand=0, reserved=0)
    stock = _locked(session, sku)
    return _correct(session, stock, on_hand - stock.on_hand, reason, actor, at)


def adjust(session: Session, sku: str, delta: int, *, reason: str, actor: str, at: datetime) -> Stock:
    """So many came in, or (negative) were lost. Raises `BelowReserved` or `UnknownSku`."""
    return _correct(session, _locked(session, sku), delta, reason, actor, at)


def seed(database: Database, document: Mapping[str, Any]) -> int:
    """Opening stock of a catalogue's products, where they are new; how many that were.

    Raises marshmallow's `ValidationError` for a document that is not a catalogue.
    """
    products = schemas.Catalogue().load(document)["products"]
    with database.begin() as session:
        return sum(_open(session, product["sku"], product["stock"]) for product in products)


def _open(session: Session, sku: str, on_hand: int) -> bool:
    if not insert_once(session, Stock, sku=sku, on_hand=0, reserved=0):
        return False
    move(session, _locked(session, sku), OPENING, on_hand, reason="opening stock", actor="seed", at=utcnow())
    return True


def _correct(session: Session, stock: Stock, delta: int, reason: str, actor: str, at: datetime) -> Stock:
    on_hand = stock.on_hand + delta
    if on_hand < stock.reserved:
        raise BelowReserved(stock, on_hand)
    if delta:
        move(session, stock, ADJUSTMENT, delta, reason=reason, actor=actor, at=at)
    return stock


def _locked(session: Session, sku: str) -> Stock:
    stock = session.scalar(for_update(session, select(Stock).where(Stock.sku == sku)))
    if stock is None:
        raise UnknownSku(sku)
    return stock
