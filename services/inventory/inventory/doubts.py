"""Doubts: unpaid checkouts whose reserved pieces may be gone. Each is published once.

Orders usually confirms a payment without asking inventory, because its pieces are reserved. After
`inventory.reservation.doubted` orders waits for inventory's answer, as it does for a late payment: committed or
oversold. Inventory answers the payment of every doubted checkout.
"""

from collections.abc import Collection

from events.clock import utcnow
from events.database.transaction import insert
from events.messaging import outbox
from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory.models import HELD, DoubtedReservation, Reservation, ReservationLine


def publish_doubts_for_sku(session: Session, sku: str) -> None:
    """Publish a doubt for each checkout that holds the sku. The sku's stock row must be locked.

    Call it when fewer pieces are left than are reserved. The pieces go to those who pay first, so each of
    these checkouts may be the one that gets none.
    """
    holders = select(Reservation.checkout_id).where(
        Reservation.status == HELD, Reservation.lines.any(ReservationLine.sku == sku)
    )
    publish_doubts(session, session.scalars(holders).all())


def publish_doubts(session: Session, checkout_ids: Collection[str]) -> None:
    """Publish for each of these unpaid checkouts, once, that its reserved pieces may be gone."""
    if not checkout_ids:
        return
    now, table = utcnow(), DoubtedReservation.__table__
    rows = [{"checkout_id": checkout_id, "doubted_at": now} for checkout_id in sorted(checkout_ids)]
    statement = insert(session, table).on_conflict_do_nothing().returning(table.c.checkout_id)
    for checkout_id in session.scalars(statement, rows).all():
        outbox.add(session, "inventory.reservation.doubted", {"checkout_id": checkout_id}, correlation_id=checkout_id)


def find_doubted(session: Session, checkout_ids: Collection[str]) -> set[str]:
    """Return which of these checkouts have a published doubt, so that orders waits for inventory's answer.

    Call it once their stock is locked or has been taken: until then, a loss of pieces can put more of them in doubt.
    """
    doubted = select(DoubtedReservation.checkout_id).where(DoubtedReservation.checkout_id.in_(checkout_ids))
    return set(session.scalars(doubted))
