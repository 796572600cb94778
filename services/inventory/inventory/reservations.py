"""Promising stock to a checkout: all lines or none, once, never more than there is.

Whoever touches several skus takes them in the order of their names, so two transactions never wait for each other.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from events.database.engine import Database
from events.database.notify import increment_after_commit
from events.database.transaction import insert_once, lock_rows, skip_locked
from events.messaging import outbox
from events.messaging.event import Event
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from inventory import ledger
from inventory.models import COMMITTED, HELD, SALE, Reservation, ReservationLine, Stock

BATCH = 100  # reservations an expiry transaction ends; short enough that nobody notices its locks

Quantities = Mapping[str, int]

RESERVATIONS = Counter("clozit_reservations_total", "Reservations by what became of them", ["outcome"])
from_zero(RESERVATIONS, ["held", "committed", "released", "expired", "out_of_stock", "oversold"])


class OutOfStock(Exception):  # noqa: N818 - an answer, not an error
    """`lines` names each line that is short: {sku, requested, available}."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.lines = lines
        super().__init__(", ".join(line["sku"] for line in lines))


class Conflict(Exception):  # noqa: N818 - an answer, not an error
    """The reservation is not what the request takes it for."""


class Sold(Conflict):
    """The reservation is committed: its pieces are paid for."""


def reserve(
    session: Session, checkout_id: str, expires_at: datetime, lines: Iterable[tuple[str, int]], now: datetime
) -> tuple[Reservation, bool]:
    """The checkout's reservation, and whether this call made it. Raises `OutOfStock` or `Conflict`; roll back then."""
    wanted = by_sku(lines)
    first = insert_once(
        session, Reservation, checkout_id=checkout_id, status=HELD, expires_at=expires_at, created_at=now
    )
    if first:
        _hold(session, wanted)
        session.add_all(
            ReservationLine(checkout_id=checkout_id, sku=sku, quantity=quantity, missing=0)
            for sku, quantity in wanted.items()
        )
        session.flush()
        increment_after_commit(session, RESERVATIONS.labels("held"))
    reservation = _required(session, checkout_id)
    if not first:
        _confirm_same(reservation, wanted)
        reservation.extend(expires_at)
    return reservation, first


def find(session: Session, checkout_id: str) -> Reservation | None:
    """The reservation, locked until the transaction ends."""
    return lock_rows(session, Reservation, [checkout_id]).get(checkout_id)


def commit(session: Session, reservation: Reservation, *, at: datetime, causation: Event) -> bool:
    """The checkout is paid: its pieces leave the shelf. Had the reservation lapsed, those that are still there."""
    was_held = reservation.status == HELD
    if not reservation.commit():
        return False
    stocks = shelf(session, [line.sku for line in reservation.lines])
    for line in reservation.lines:
        stock = stocks[line.sku]
        if was_held:
            stock.reserved -= line.quantity
        taken = min(line.quantity, stock.available)
        line.missing = line.quantity - taken
        if taken:
            ledger.move(
                session, stock, SALE, -taken, reason="paid", actor="stripe", at=at, checkout_id=line.checkout_id
            )
    increment_after_commit(session, RESERVATIONS.labels("committed"))
    _tell_oversold(session, reservation, causation)
    return True


def release(session: Session, reservation: Reservation) -> bool:
    """Give the pieces back. Raises `Sold` when they are paid for."""
    if reservation.status == COMMITTED:
        raise Sold("The reservation is committed.")
    was_held = reservation.status == HELD
    if reservation.release() and was_held:
        _give_back(session, [reservation])
        increment_after_commit(session, RESERVATIONS.labels("released"))
    return was_held


def extend(session: Session, reservation: Reservation, expires_at: datetime) -> bool:
    """Keep the pieces until then; when the clock has already given them back, take them again if all are there."""
    if reservation.hold_again() and not _take_again(session, reservation.lines):
        reservation.expire()
    return reservation.extend(expires_at)


def expire_due(database: Database, now: datetime) -> int:
    """Give back what nobody paid for in time; how many reservations ended."""
    ended = 0
    while batch := _expire_batch(database, now):
        ended += batch
    return ended


def by_sku(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Quantities by sku, in the order of the skus' names."""
    quantities: collections.Counter[str] = collections.Counter()
    for sku, quantity in lines:
        quantities[sku] += quantity
    return dict(sorted(quantities.items()))


def shelf(session: Session, skus: Iterable[str]) -> dict[str, Stock]:
    """These stock rows as they are now, locked in the order of their names."""
    return lock_rows(session, Stock, skus)


def _expire_batch(database: Database, now: datetime) -> int:
    due = (
        select(Reservation)
        .where(Reservation.status == HELD, Reservation.expires_at <= now)
        .order_by(Reservation.expires_at)
        .limit(BATCH)
    )
    with database.begin() as session:
        reservations = session.scalars(skip_locked(session, due)).all()
        for reservation in reservations:
            reservation.expire()
            increment_after_commit(session, RESERVATIONS.labels("expired"))
        _give_back(session, reservations)
    return len(reservations)


def _hold(session: Session, wanted: Quantities) -> None:
    short = [sku for sku, quantity in sorted(wanted.items()) if not _hold_line(session, sku, quantity)]
    if short:
        there = shelf(session, short)
        RESERVATIONS.labels("out_of_stock").inc()  # at once: this transaction is rolled back
        raise OutOfStock(
            [
                {"sku": sku, "requested": wanted[sku], "available": there[sku].available if sku in there else 0}
                for sku in short
            ]
        )


def _take_again(session: Session, lines: Sequence[ReservationLine]) -> bool:
    stocks = shelf(session, [line.sku for line in lines])
    if any(stocks[line.sku].available < line.quantity for line in lines):
        return False
    for line in lines:
        stocks[line.sku].reserved += line.quantity
    return True


def _hold_line(session: Session, sku: str, quantity: int) -> bool:
    """The condition and the change are one statement: no two buyers can both have seen the last piece."""
    statement = (
        update(Stock)
        .where(Stock.sku == sku, Stock.on_hand - Stock.reserved >= quantity)
        .values(reserved=Stock.reserved + quantity)
    )
    held: int = session.execute(statement, execution_options={"synchronize_session": False}).rowcount  # type: ignore[attr-defined]
    return held == 1


def _give_back(session: Session, reservations: Sequence[Reservation]) -> None:
    lines = [(line.sku, line.quantity) for reservation in reservations for line in reservation.lines]
    quantities = by_sku(lines)
    for sku, stock in shelf(session, quantities).items():
        stock.reserved -= quantities[sku]


def _confirm_same(reservation: Reservation, wanted: Quantities) -> None:
    if {line.sku: line.quantity for line in reservation.lines} != wanted:
        raise Conflict("This checkout has a reservation with other lines.")
    if reservation.status != HELD:
        raise Conflict(f"This checkout's reservation is {reservation.status}.")


def _required(session: Session, checkout_id: str) -> Reservation:
    reservation = find(session, checkout_id)
    assert reservation is not None  # noqa: S101 - inserted above, and reservations are never deleted
    return reservation


def _tell_oversold(session: Session, reservation: Reservation, causation: Event) -> None:
    missing = [
        {"sku": line.sku, "quantity": line.quantity, "missing": line.missing}
        for line in reservation.lines
        if line.missing
    ]
    if missing:
        increment_after_commit(session, RESERVATIONS.labels("oversold"))
        data = {"checkout_id": reservation.checkout_id, "lines": missing}
        outbox.add(
            session,
            "inventory.reservation.oversold",
            data,
            correlation_id=reservation.checkout_id,
            causation=causation,
        )
