"""Shipments: which sold pieces have left in a parcel, and which still wait in the warehouse."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from events.errors import NotYet
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from inventory import ledger, reservations
from inventory.models import ADJUSTMENT, COMMITTED, RETURN, Movement, ReservationLine, Shipment


def record_shipment(
    session: Session, checkout_id: str, shipment_id: str, shipped: Sequence[Mapping[str, Any]], *, occurred_at: datetime
) -> None:
    """Count one parcel's pieces as shipped, once. Raises `NotYet` until the sale is recorded.

    A piece that was missing when its order was paid, and is shipped after all, leaves the stock now.
    """
    reservation = reservations.lock_reservation(session, checkout_id)
    if reservation is None or reservation.status != COMMITTED:
        raise NotYet(f"the sale of {checkout_id} is not recorded yet")
    if not insert_once(session, Shipment, id=shipment_id, checkout_id=checkout_id):
        return
    pieces = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in shipped)
    lines = {line.sku: line for line in reservation.lines if line.sku in pieces}
    items = reservations.lock_stock(session, lines)
    for sku, line in lines.items():
        line.shipped += pieces[sku]
        found = min(line.shipped - line.sold, line.missing, items[sku].on_hand)
        if found > 0:
            line.missing -= found
            ledger.record_movement(
                session, items[sku], ADJUSTMENT, -found,
                reason=f"shipped after it was oversold ({shipment_id})", actor="orders", occurred_at=occurred_at,
                checkout_id=checkout_id,
            )  # fmt: skip
    update_unshipped(session, checkout_id, list(lines.values()))


def update_unshipped(session: Session, checkout_id: str, lines: Sequence[ReservationLine]) -> None:
    """Set how many sold pieces of these lines still wait for a parcel, from their shipped and returned pieces.

    Returns do not say which pieces had been shipped. They are counted as shipped ones as far as possible.
    """
    session.flush()
    returned = returned_pieces(session, checkout_id)
    for line in lines:
        line.unshipped = max(0, line.sold - max(line.shipped, returned.get(line.sku, 0)))


def returned_pieces(session: Session, checkout_id: str) -> dict[str, int]:
    """Return the pieces of a checkout that are back in stock, by sku."""
    returned = select(Movement.sku, func.sum(Movement.delta).label("pieces")).where(
        Movement.checkout_id == checkout_id, Movement.kind == RETURN
    )
    return {row.sku: int(row.pieces) for row in session.execute(returned.group_by(Movement.sku))}
