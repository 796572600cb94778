"""Returns: sold pieces that are in stock again, and those that left it again because their refund failed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.errors import NotYet
from events.messaging.event import Event
from events.observability.logging import get_logger
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from inventory import ledger, reservations
from inventory.models import RETURN, Movement

log = get_logger(__name__)


def record_return(
    session: Session, checkout_id: str, return_id: str, lines: Sequence[Mapping[str, Any]], *, occurred_at: datetime
) -> None:
    """Add one return's pieces to the stock, once: at most those that left it for this checkout and have not returned.

    Raises `NotYet` until the sale is recorded.
    """
    reservations.lock_sold(session, checkout_id)
    if session.scalar(select(Movement.id).where(Movement.return_id == return_id).limit(1)):
        return
    returned = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in lines)
    moved = _moved_pieces(session, checkout_id)
    items = reservations.lock_stock(session, returned)
    for sku, quantity in returned.items():
        counted = min(quantity, max(0, -moved.get(sku, 0)))
        if counted < quantity:
            log.warning(
                "a return has more pieces than were sold and not yet returned, only `counted` pieces are added",
                checkout_id=checkout_id, return_id=return_id, sku=sku, returned=quantity, counted=counted,
            )  # fmt: skip
        if counted:
            capped = (
                ""
                if counted == quantity
                else f", {counted} of {quantity} pieces: no more were sold and not yet returned"
            )
            ledger.record_movement(
                session, items[sku], RETURN, counted,
                reason=f"returned ({return_id}){capped}", actor="orders", occurred_at=occurred_at,
                checkout_id=checkout_id, return_id=return_id,
            )  # fmt: skip


def take_back(
    session: Session,
    checkout_id: str,
    return_id: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    occurred_at: datetime,
    causation: Event,
) -> None:
    """Take the pieces of an earlier return out of the stock, once: they are owed to their customer again.

    The return's own event may arrive later. Pieces that are no longer available are published as oversold. Raises
    `NotYet` until the sale is recorded and, if pieces are not available, until the return is recorded.
    """
    reservation = reservations.lock_sold(session, checkout_id)
    if session.scalar(select(Movement.id).where(Movement.return_id == return_id).limit(1)):
        return
    wanted = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in lines)
    sold = {line.sku: line for line in reservation.lines}
    items = reservations.lock_stock(session, wanted)
    before, missing = _moved_pieces(session, checkout_id, Movement.kind == RETURN), []
    for sku, quantity in wanted.items():
        taken = min(quantity, max(0, items[sku].available))
        if taken < quantity:
            if before.get(sku, 0) < quantity:
                raise NotYet(f"the return of {checkout_id} is not recorded yet")
            sold[sku].missing += quantity - taken
            sold[sku].update_sold_unshipped()
            missing.append({"sku": sku, "quantity": quantity, "missing": quantity - taken})
        ledger.record_movement(
            session, items[sku], RETURN, -taken,
            reason=f"refund failed ({return_id})", actor="orders", occurred_at=occurred_at,
            checkout_id=checkout_id, return_id=return_id,
        )  # fmt: skip
    reservations.publish_oversold(session, checkout_id, missing, causation, return_id=return_id)


def _moved_pieces(session: Session, checkout_id: str, *conditions: ColumnElement[bool]) -> dict[str, int]:
    """Return the sum of a checkout's movements by sku: negative for the pieces that left the stock."""
    moved = select(Movement.sku, func.sum(Movement.delta).label("pieces"))
    moved = moved.where(Movement.checkout_id == checkout_id, *conditions).group_by(Movement.sku)
    return {row.sku: int(row.pieces) for row in session.execute(moved)}
