"""Reservations: pieces that are kept for one checkout, all lines or none, and never more than are available.

Lock order: the reservations by checkout id, then the stock items by sku. All transactions use it, to prevent deadlocks.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from events.database.engine import Database
from events.database.notify import increment_after_commit
from events.database.transaction import insert_once, lock_rows, skip_locked
from events.errors import NotYet
from events.messaging import outbox
from events.messaging.event import Event
from events.messaging.inbox_models import UNFINISHED, InboxEvent
from events.messaging.session_payment import PENDING_HOLD_TIME, is_late
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy import BigInteger, cast, exists, not_, select, update
from sqlalchemy.orm import Session

from inventory import doubts, ledger
from inventory.errors import (
    OutOfStockError,
    PaymentPendingError,
    ReservationCommittedError,
    ReservationConflictError,
)
from inventory.models import (
    COMMITTED,
    HELD,
    SALE,
    SESSION_PENDING,
    Reservation,
    ReservationLine,
    ReservationSession,
    StockItem,
)

EXPIRY_BATCH_SIZE = 100  # reservations that one transaction ends; its locks are too short to delay a checkout

Quantities = Mapping[str, int]  # pieces by sku

RESERVATIONS = Counter("clozit_reservations_total", "Reservations by outcome", ["outcome"])
from_zero(RESERVATIONS, ["held", "committed", "released", "expired", "out_of_stock", "over_share", "oversold"])


def reserve(
    session: Session,
    checkout_id: str,
    expires_at: datetime,
    lines: Iterable[tuple[str, int]],
    now: datetime,
    *,
    max_percent: int = 100,
) -> tuple[Reservation, bool]:
    """Reserve all lines or none. Return the reservation, and True if this call made it; a repeat can only extend it.

    New reservations can use a sku only up to `max_percent` of its stock on hand, rounded up.

    Raises `OutOfStockError` or `ReservationConflictError`; the transaction must then be rolled back.
    """
    wanted = sum_by_sku(lines)
    is_new = insert_once(
        session, Reservation, checkout_id=checkout_id, status=HELD, expires_at=expires_at, created_at=now
    )
    if is_new:
        _reserve_stock(session, wanted, max_percent)
        session.add_all(
            ReservationLine(checkout_id=checkout_id, sku=sku, quantity=quantity, missing=0)
            for sku, quantity in wanted.items()
        )
        session.flush()
        increment_after_commit(session, RESERVATIONS.labels("held"))
    reservation = lock_reservation(session, checkout_id)
    assert reservation is not None  # noqa: S101 - inserted above, and reservations are never deleted
    if not is_new:
        _check_unchanged(reservation, wanted)
        reservation.extend(expires_at)
    return reservation, is_new


def lock_reservation(session: Session, checkout_id: str) -> Reservation | None:
    """Lock the checkout's reservation until the transaction ends and return it; None if there is none."""
    return lock_rows(session, Reservation, [checkout_id]).get(checkout_id)


def lock_sold(session: Session, checkout_id: str) -> Reservation:
    """Lock the committed reservation of a paid checkout and return it. Raises `NotYet` until the sale is recorded."""
    reservation = lock_reservation(session, checkout_id)
    if reservation is None or reservation.status != COMMITTED:
        raise NotYet(f"the sale of {checkout_id} is not recorded yet")
    return reservation


def lock_stock(session: Session, skus: Iterable[str]) -> dict[str, StockItem]:
    """Lock the stock items of these skus in the order of the skus, and return their current rows by sku."""
    return lock_rows(session, StockItem, skus)


def commit(session: Session, reservation: Reservation, *, paid_at: datetime, causation: Event) -> bool:
    """Commit a paid checkout's reservation: its pieces leave the stock. Return False if it is committed already.

    Pieces of a held reservation leave the stock as far as they are on hand. Those of an ended one leave it as far as
    they are available. All others are `missing` and published as oversold.
    """
    was_held = reservation.status == HELD
    if not reservation.commit():
        return False
    items = lock_stock(session, [line.sku for line in reservation.lines])
    for line in reservation.lines:
        item = items[line.sku]
        if was_held:
            item.reserved -= line.quantity
        sold = min(line.quantity, item.on_hand if was_held else item.available)
        line.missing = line.quantity - sold
        line.update_sold_unshipped()
        if sold:
            ledger.record_movement(
                session, item, SALE, -sold,
                reason="paid", actor="stripe", occurred_at=paid_at, checkout_id=line.checkout_id,
            )  # fmt: skip
    increment_after_commit(session, RESERVATIONS.labels("committed"))
    missing = [
        {"sku": line.sku, "quantity": line.quantity, "missing": line.missing}
        for line in reservation.lines
        if line.missing
    ]
    publish_oversold(session, reservation.checkout_id, missing, causation)
    return True


def publish_answers(session: Session, payments: Sequence[tuple[Reservation, Event]]) -> None:
    """Publish for each of these paid checkouts that its stock was taken, if orders waits for this answer.

    Orders waits if the payment is late (`is_late`), or if the pieces were published as in doubt. Checkouts with missing
    pieces are left out: their answer is the oversold event.
    """
    doubted = doubts.find_doubted(session, {reservation.checkout_id for reservation, _ in payments})
    for reservation, event in payments:
        if is_late(event) or reservation.checkout_id in doubted:
            _publish_committed(session, reservation, event)


def _publish_committed(session: Session, reservation: Reservation, causation: Event) -> None:
    """Publish that the stock of a paid checkout was taken, unless pieces are missing: these are oversold."""
    if any(line.missing for line in reservation.lines):
        return
    data = {"checkout_id": reservation.checkout_id}
    outbox.add(
        session,
        "inventory.reservation.committed",
        data,
        correlation_id=reservation.checkout_id,
        causation=causation,
    )


def apply_session(
    session: Session,
    reservation: Reservation,
    session_id: str,
    status: str,
    payment_status: str | None,
    event: Event,
    *,
    max_percent: int,
) -> None:
    """Record a fact about one of the checkout's Stripe sessions, and do what follows from the facts about all of them.

    One paid session commits the reservation. Otherwise a pending one keeps it held. Otherwise this fact releases it.
    A fact that is known, or has less precedence than the known one (`SessionStatus`), changes nothing.
    """
    if not reservation.record_session(session_id, status, payment_status, event.occurred_at):
        return
    if reservation.is_paid:
        commit(session, reservation, paid_at=event.occurred_at, causation=event)
    elif pending_since := reservation.pending_since:
        extend(session, reservation, pending_since + PENDING_HOLD_TIME, max_percent=max_percent)
    elif reservation.status != COMMITTED:
        release(session, reservation)


def release(session: Session, reservation: Reservation, *, is_forced: bool = False) -> bool:
    """Make the pieces of an unpaid checkout available again; return True if they were held.

    Raises `ReservationCommittedError` if they are paid for. Raises `PaymentPendingError` if a delayed payment is under
    way, unless `is_forced`.
    """
    if reservation.status == COMMITTED:
        raise ReservationCommittedError(f"The reservation of {reservation.checkout_id} is committed.")
    if reservation.is_pending and not is_forced:
        raise PaymentPendingError(reservation.checkout_id)
    was_held = reservation.status == HELD
    if reservation.release() and was_held:
        _unreserve(session, [reservation])
        increment_after_commit(session, RESERVATIONS.labels("released"))
    return was_held


def release_for_operator(session: Session, reservation: Reservation, now: datetime, *, is_forced: bool) -> None:
    """Release the pieces for good: neither a payment under way nor an extension holds them again.

    The customer can still pay in time, so publish that the pieces are in doubt. Raises the errors of `release`.
    """
    release(session, reservation, is_forced=is_forced)
    doubts.publish_doubts(session, [reservation.checkout_id])
    reservation.operator_released_at = reservation.operator_released_at or now


def extend(session: Session, reservation: Reservation, expires_at: datetime, *, max_percent: int) -> bool:
    """Keep the pieces until a later time; return True if this changed the end.

    An expired reservation is held again, if all its pieces can be reserved: unpaid checkouts hold at most `max_percent`
    of a sku's stock. So is a released one, if a payment is under way: the customer pays after all, for example with a
    recovery link. What an operator released stays released.
    """
    ended = reservation.status
    if reservation.hold_again() and not _reserve_again(session, reservation.lines, max_percent):
        reservation.status = ended
    return reservation.extend(expires_at)


def expire_due(database: Database, now: datetime) -> int:
    """Expire every held reservation whose time is over, and return their number.

    A reservation with an event that is stored for a retry, or has failed, is kept: the event may be its payment.
    """
    expired = 0
    while batch := _expire_batch(database, now):
        expired += batch
    return expired


def sum_by_sku(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the pieces by sku, in the order of the skus."""
    quantities: collections.Counter[str] = collections.Counter()
    for sku, quantity in lines:
        quantities[sku] += quantity
    return dict(sorted(quantities.items()))


def publish_expiring(database: Database, notice: timedelta, now: datetime) -> int:
    """Publish each held reservation that ends within `notice` while its payment is under way; return their number.

    Each end is published once. After an extension, the later end is published, too.
    """
    is_pending = exists().where(
        ReservationSession.checkout_id == Reservation.checkout_id, ReservationSession.status == SESSION_PENDING
    )
    ending = (
        select(Reservation)
        .where(
            Reservation.status == HELD,
            Reservation.expires_at <= now + notice,
            Reservation.notified_expires_at.is_distinct_from(Reservation.expires_at),
            is_pending,
        )
        .order_by(Reservation.expires_at)
        .limit(EXPIRY_BATCH_SIZE)
    )
    published = 0
    while True:
        with database.begin() as session:
            found = session.scalars(skip_locked(session, ending)).all()
            for reservation in found:
                reservation.notified_expires_at = reservation.expires_at
                data = {
                    "checkout_id": reservation.checkout_id,
                    "expires_at": reservation.expires_at,
                    "lines": [{"sku": line.sku, "quantity": line.quantity} for line in reservation.lines],
                }
                outbox.add(session, "inventory.reservation.expiring", data, correlation_id=reservation.checkout_id)
        published += len(found)
        if len(found) < EXPIRY_BATCH_SIZE:
            return published


def _expire_batch(database: Database, now: datetime) -> int:
    is_unfinished = exists().where(
        InboxEvent.correlation_id == Reservation.checkout_id, InboxEvent.status.in_(UNFINISHED)
    )
    due = (
        select(Reservation)
        .where(Reservation.status == HELD, Reservation.expires_at <= now, not_(is_unfinished))
        .order_by(Reservation.expires_at)
        .limit(EXPIRY_BATCH_SIZE)
    )
    with database.begin() as session:
        reservations = session.scalars(skip_locked(session, due)).all()
        for reservation in reservations:
            reservation.expire()
            increment_after_commit(session, RESERVATIONS.labels("expired"))
        _unreserve(session, reservations)
    return len(reservations)


def _reserve_stock(session: Session, wanted: Quantities, max_percent: int) -> None:
    short = [sku for sku, quantity in sorted(wanted.items()) if not _reserve_line(session, sku, quantity, max_percent)]
    if short:
        # Read without a lock: later skus may be locked already, and a lock here would break the lock order.
        found = session.scalars(select(StockItem).where(StockItem.sku.in_(short)))
        items = {item.sku: item for item in found}
        is_there = all(sku in items and items[sku].available >= wanted[sku] for sku in short)
        RESERVATIONS.labels("over_share" if is_there else "out_of_stock").inc()  # at once: this is rolled back
        available = {sku: item.reservable(max_percent) for sku, item in items.items()}
        raise OutOfStockError(
            [{"sku": sku, "requested": wanted[sku], "available": available.get(sku, 0)} for sku in short]
        )


def _reserve_line(session: Session, sku: str, quantity: int, max_percent: int) -> bool:
    """Reserve the pieces if they are available. One statement checks and changes: two checkouts cannot both succeed."""
    statement = (
        update(StockItem)
        .where(
            StockItem.sku == sku,
            (cast(StockItem.on_hand, BigInteger) * max_percent + 99) // 100 - StockItem.reserved
            >= quantity,  # StockItem.reservable; 64 bits, because a percentage of a large stock needs more than 32
        )
        .values(reserved=StockItem.reserved + quantity)
    )
    rows: int = session.execute(statement, execution_options={"synchronize_session": False}).rowcount  # type: ignore[attr-defined]
    return rows == 1


def _reserve_again(session: Session, lines: Sequence[ReservationLine], max_percent: int) -> bool:
    items = lock_stock(session, [line.sku for line in lines])
    if any(items[line.sku].reservable(max_percent) < line.quantity for line in lines):
        return False
    for line in lines:
        items[line.sku].reserved += line.quantity
    return True


def _unreserve(session: Session, reservations: Sequence[Reservation]) -> None:
    lines = [(line.sku, line.quantity) for reservation in reservations for line in reservation.lines]
    quantities = sum_by_sku(lines)
    for sku, item in lock_stock(session, quantities).items():
        item.reserved -= quantities[sku]


def _check_unchanged(reservation: Reservation, wanted: Quantities) -> None:
    if {line.sku: line.quantity for line in reservation.lines} != wanted:
        raise ReservationConflictError(f"{reservation.checkout_id} has already reserved other lines.")
    if reservation.status != HELD:
        raise ReservationConflictError(f"The reservation of {reservation.checkout_id} is {reservation.status}.")


def publish_oversold(
    session: Session,
    checkout_id: str,
    missing: Sequence[Mapping[str, Any]],
    causation: Event,
    *,
    return_id: str | None = None,
) -> None:
    """Publish the pieces of a paid checkout that are missing in the stock, if there are any.

    `return_id` is the return that could not be taken back. Without it, the pieces were missing at the payment.
    """
    if not missing:
        return
    increment_after_commit(session, RESERVATIONS.labels("oversold"))
    outbox.add(
        session,
        "inventory.reservation.oversold",
        {"checkout_id": checkout_id, "lines": missing, "return_id": return_id},
        correlation_id=checkout_id,
        causation=causation,
    )
