"""Pieces that were sold and are back on the shelf."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.errors import NotYet
from events.observability.logging import get_logger
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inventory import ledger, reservations
from inventory.models import COMMITTED, RETURN, Movement

log = get_logger(__name__)


def take_back(
    session: Session, checkout_id: str, return_id: str, lines: Sequence[Mapping[str, Any]], *, at: datetime
) -> None:
    """Put one return's pieces back, once, and no more of a sku than was sold and has not come back before.

    Raises `NotYet` while the sale is not booked.
    """
    reservation = reservations.find(session, checkout_id)
    if reservation is None or reservation.status != COMMITTED:
        raise NotYet(f"nothing of {checkout_id} is sold yet")
    if session.scalar(select(Movement.id).where(Movement.return_id == return_id).limit(1)):
        return
    wanted = reservations.by_sku((line["sku"], line["quantity"]) for line in lines)
    sold = {line.sku: line.quantity - line.missing for line in reservation.lines}
    back = _back_before(session, checkout_id)
    shelf = reservations.shelf(session, wanted)
    for sku, quantity in wanted.items():
        taken = min(quantity, sold.get(sku, 0) - back.get(sku, 0))
        if taken < quantity:
            log.warning(
                "fewer pieces came back than were returned: no more had been sold",
                checkout_id=checkout_id, return_id=return_id, sku=sku, returned=quantity, taken=taken,
            )  # fmt: skip
        if taken:
            capped = "" if taken == quantity else f" {taken} of {quantity}: no more had been sold"
            ledger.move(
                session, shelf[sku], RETURN, taken,
                reason=f"returned ({return_id}){capped}", actor="orders", at=at,
                checkout_id=checkout_id, return_id=return_id,
            )  # fmt: skip


def _back_before(session: Session, checkout_id: str) -> dict[str, int]:
    returned = select(Movement.sku, func.sum(Movement.delta).label("pieces")).where(
        Movement.checkout_id == checkout_id, Movement.kind == RETURN
    )
    return {row.sku: int(row.pieces) for row in session.execute(returned.group_by(Movement.sku))}
