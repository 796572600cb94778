"""Shipments: which sold pieces have left in a parcel, which do not ship any more, and which wait in the warehouse."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from sqlalchemy.orm import Session

from inventory import ledger, reservations
from inventory.models import ADJUSTMENT, CountedShipment


def record_shipment(
    session: Session, checkout_id: str, shipment_id: str, shipped: Sequence[Mapping[str, Any]], *, occurred_at: datetime
) -> None:
    """Count one parcel's pieces as shipped, once. Raises `NotYet` until the sale is recorded.

    A `missing` piece that is shipped after all leaves the stock now, if it is on hand.
    """
    reservation = reservations.lock_sold(session, checkout_id)
    if not insert_once(session, CountedShipment, id=shipment_id, checkout_id=checkout_id):
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
        line.update_sold_unshipped()


def record_canceled(session: Session, checkout_id: str, revision: int, canceled: Sequence[Mapping[str, Any]]) -> None:
    """Set how many pieces of the checkout do not ship any more, unless this or a later revision is known.

    Raises `NotYet` until the sale is recorded.
    """
    reservation = reservations.lock_sold(session, checkout_id)
    if revision <= reservation.goods_revision:
        return
    reservation.goods_revision = revision
    pieces = reservations.sum_by_sku((line["sku"], line["quantity"]) for line in canceled)
    for line in reservation.lines:
        line.canceled = pieces.get(line.sku, 0)
        line.update_sold_unshipped()
