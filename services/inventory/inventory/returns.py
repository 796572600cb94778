"""Returns: sold pieces that are in stock again, and those that left it again because their refund failed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.errors import NotYet
from events.messaging.event import Event
from events.observability.logging import get_logger
from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory import ledger, reservations, shipments
from inventory.models import COMMITTED, RETURN, Movement

log = get_logger(__name__)


def record_return(
    session: Session, checkout_id: str, return_id: str, lines: Sequence[Mapping[str, Any]], *, occurred_at: datetime
) -> None:
    """Add one return's pieces to the stock, once. Of each sku, at most the sold and not yet returned pieces count.

    Raises `NotYet` until the sale is recorded.
    """
    reservation = reservations.lock_reservation(session, checkout_id)
    if reservation is None or reservation.status != COMMITTED:
        raise NotYet(f"the sale of {checkout_id} is not recorded yet")
    if session.scalar(select(Movement.id).where(Movement.return_id == return_id).limit(1)):
        return
    returned = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in lines)
    sold = {line.sku: line.quantity - line.missing for line in reservation.lines}
    before = shipments.returned_pieces(session, checkout_id)
    items = reservations.lock_stock(session, returned)
    for sku, quantity in returned.items():
        counted = min(quantity, sold.get(sku, 0) - before.get(sku, 0))
        if counted < quantity:
            log.warning(
                "return has more pieces than were sold: the others are not added to the stock",
                checkout_id=checkout_id, return_id=return_id, sku=sku, returned=quantity, counted=counted,
            )  # fmt: skip
        if counted:
            capped = "" if counted == quantity else f", {counted} of {quantity} pieces: only these were sold"
            ledger.record_movement(
                session, items[sku], RETURN, counted,
                reason=f"returned ({return_id}){capped}", actor="orders", occurred_at=occurred_at,
                checkout_id=checkout_id, return_id=return_id,
            )  # fmt: skip
    shipments.update_unshipped(session, checkout_id, reservation.lines)


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

    The return's own event may arrive later. Pieces that are no longer available are oversold. Raises `NotYet` until the
    sale is recorded.
    """
    reservation = reservations.lock_reservation(session, checkout_id)
    if reservation is None or reservation.status != COMMITTED:
        raise NotYet(f"the sale of {checkout_id} is not recorded yet")
    if session.scalar(select(Movement.id).where(Movement.return_id == return_id).limit(1)):
        return
    wanted = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in lines)
    sold = {line.sku: line for line in reservation.lines}
    items = reservations.lock_stock(session, wanted)
    before, is_oversold = shipments.returned_pieces(session, checkout_id), False
    for sku, quantity in wanted.items():
        taken = min(quantity, max(0, items[sku].available))
        if taken < quantity:
            if before.get(sku, 0) < quantity:
                raise NotYet(f"the return of {checkout_id} is not recorded yet")
            sold[sku].missing += quantity - taken
            is_oversold = True
        ledger.record_movement(
            session, items[sku], RETURN, -taken,
            reason=f"refund failed ({return_id})", actor="orders", occurred_at=occurred_at,
            checkout_id=checkout_id, return_id=return_id,
        )  # fmt: skip
    shipments.update_unshipped(session, checkout_id, reservation.lines)
    if is_oversold:
        reservations.publish_oversold(session, reservation, causation)
