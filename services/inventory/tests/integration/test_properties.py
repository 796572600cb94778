"""Properties of the stock: any sequence of acts keeps the books, and its end follows from the facts in any order."""

import itertools
from datetime import timedelta
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.messaging.event import Event
from events.testing.bus import deliver
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inventory import reservations, stock_changes
from inventory.errors import (
    BelowZeroError,
    OutOfStockError,
    PaymentPendingError,
    ReservationCommittedError,
    ReservationConflictError,
)
from inventory.handlers import handlers
from inventory.models import COMMITTED, HELD, Reservation, ReservationLine, StockItem
from inventory.reservations import expire_due
from sqlalchemy import func, select

from ..conftest import NOW, SOON, Stock

KINDS = {
    "expired": ("expired", "unpaid"),
    "pending": ("completed", "unpaid"),
    "unknown": ("completed", "paid_by_barter"),
    "failed": ("async_payment_failed", "unpaid"),
    "paid": ("completed", "paid"),
}
PRECEDENCE = ["expired", "pending", "failed", "paid"]
facts = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 3)), min_size=1, max_size=6)
numbers = itertools.count()  # each example has its own sku and checkouts in the shared database
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def event(checkout_id: str, kind: str, number: int) -> Event:
    name, payment_status = KINDS[kind]
    stripe_session = checkout_session(checkout_id, id=f"cs_{checkout_id}_{number}", payment_status=payment_status)
    return as_bus_event(stripe_event(f"checkout.session.{name}", stripe_session, created=int(NOW.timestamp())))


def expected_status(reported: list[tuple[str, int]]) -> str:
    """Return the status that follows from the facts about all sessions."""
    last: dict[int, str] = {}
    for kind, number in reported:
        word = "pending" if kind == "unknown" else kind
        last[number] = max(last.get(number, word), word, key=PRECEDENCE.index)
    if "paid" in last.values():
        return COMMITTED
    return HELD if "pending" in last.values() else "released"


@quick
@given(reported=facts, data=st.data())
def test_end_follows_from_the_facts_in_any_order(
    database: Database, reported: list[tuple[str, int]], data: Any
) -> None:
    stock = Stock(database)
    sku = f"SKU{next(numbers)}"
    checkout_id = f"chk_{sku}"
    stock.fill(**{sku: 5})
    stock.reserve(checkout_id, SOON, **{sku: 2})
    for kind, number in data.draw(st.permutations([*reported, *reported])):
        assert deliver(database, handlers, event(checkout_id, kind, number)) == "done"
    status = expected_status(reported)
    assert stock.status(checkout_id) == status
    assert stock.pieces()[sku] == {COMMITTED: (3, 0), HELD: (5, 2), "released": (5, 0)}[status]


acts = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 4), st.integers(1, 3)),
        st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 4), st.integers(1, 2)),
        st.tuples(st.just("release"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("adjust"), st.integers(-3, 3), st.none()),
        st.tuples(st.just("count"), st.integers(0, 6), st.none()),
        st.tuples(st.just("sweep"), st.integers(0, 30), st.none()),
    ),
    max_size=15,
)


@quick
@given(sequence=acts)
def test_any_sequence_of_acts_keeps_the_books(database: Database, sequence: list[Any]) -> None:
    stock = Stock(database)
    sku = f"SKU{next(numbers)}"
    stock.fill(**{sku: 4})
    for act, number, detail in sequence:
        try:
            perform(stock, sku, act, number, detail)
        except (BelowZeroError, OutOfStockError, ReservationConflictError, ReservationCommittedError):
            continue
        except PaymentPendingError:
            assert act == "release"
    on_hand, reserved = stock.pieces()[sku]
    assert on_hand >= 0
    with database.read() as session:
        item = session.get_one(StockItem, sku)
        held = select(func.coalesce(func.sum(ReservationLine.quantity), 0)).join(
            Reservation, Reservation.checkout_id == ReservationLine.checkout_id
        )
        assert session.scalar(held.where(ReservationLine.sku == sku, Reservation.status == HELD)) == reserved
        assert item.available - item.deficit == on_hand - reserved
        for line in session.scalars(select(ReservationLine).where(ReservationLine.sku == sku)):
            assert 0 <= line.sold_unshipped <= line.sold


def perform(stock: Stock, sku: str, act: str, number: int, detail: Any) -> None:
    checkout_id = f"chk_{sku}_{number}"
    if act == "reserve":
        stock.reserve(checkout_id, SOON, **{sku: detail})
    elif act == "release":
        with stock.database.begin() as session:
            if reservation := reservations.lock_reservation(session, checkout_id):
                reservations.release(session, reservation, is_forced=detail)
    elif act in ("adjust", "count"):
        with stock.database.begin() as session:
            change: Any = (
                {"adjust": number} if act == "adjust" else {"on_hand": number, "counted_at": utcnow().isoformat()}
            )
            request = stock_changes.StockRequest(sku=sku, reason="property", **change)
            stock_changes.change_stock(session, request, None, actor="ana", now=NOW)
    elif act == "sweep":
        expire_due(stock.database, NOW + timedelta(days=number))
    elif stock.status(checkout_id) != "unknown":
        assert deliver(stock.database, handlers, event(checkout_id, act, detail)) == "done"
