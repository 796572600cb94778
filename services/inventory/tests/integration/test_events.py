from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.testing.bus import deliver, outbox_events
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.handlers import DELAYED_PAYMENT_TIME, handlers
from inventory.models import Reservation, ReservationLine
from inventory.reservations import expire_due

PAID = ("completed", "paid")
UNPAID = ("completed", "unpaid")
FREE = ("completed", "no_payment_required")
SUCCEEDED = ("async_payment_succeeded", "paid")
EXPIRED = ("expired", "unpaid")
FAILED = ("async_payment_failed", "unpaid")

Fact = tuple[str, str]


@pytest.fixture
def deliver_fact(database: Database, now: datetime) -> Any:
    """Return a function that delivers a fact about a checkout's session. Each `number` is a separate Event."""

    def deliver_one(checkout_id: str | None, fact: Fact, number: int = 0) -> str:
        return deliver(database, handlers, event(checkout_id, fact, number, now))

    return deliver_one


def event(checkout_id: str | None, fact: Fact, number: int, now: datetime) -> Event:
    kind, payment_status = fact
    session = checkout_session(checkout_id, payment_status=payment_status, expires_at=0, created=0)
    event_id = f"evt_{checkout_id}_{kind}_{payment_status}_{number}"
    document = stripe_event(f"checkout.session.{kind}", session, event_id=event_id, created=int(now.timestamp()))
    return as_bus_event(document)


@pytest.mark.parametrize("fact", [PAID, FREE, SUCCEEDED])
def test_payment_sells_the_held_pieces(stock: Any, deliver_fact: Any, fact: Fact) -> None:
    stock.fill(TEE=5, SOCK=2)
    stock.reserve("chk_1", TEE=3, SOCK=1)
    assert deliver_fact("chk_1", fact) == "done"
    assert stock.pieces() == {"TEE": (2, 0), "SOCK": (1, 0)}
    assert outbox_events(stock.database) == []


def test_second_event_of_one_payment_sells_nothing_more(stock: Any, deliver_fact: Any) -> None:
    stock.fill(TEE=5)
    stock.reserve("chk_1", TEE=3)
    assert [deliver_fact("chk_1", PAID, number) for number in (1, 2)] == ["done", "done"]
    assert stock.pieces() == {"TEE": (2, 0)}


@pytest.mark.parametrize("fact", [EXPIRED, FAILED])
def test_end_without_payment_releases_the_pieces(stock: Any, deliver_fact: Any, fact: Fact) -> None:
    stock.fill(TEE=5)
    stock.reserve("chk_1", TEE=3)
    assert deliver_fact("chk_1", fact) == "done"
    assert (stock.status("chk_1"), stock.pieces()) == ("released", {"TEE": (5, 0)})


def test_delayed_method_keeps_the_pieces_until_it_can_fail(stock: Any, deliver_fact: Any, now: datetime) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    deliver_fact("chk_1", UNPAID)
    assert expire_due(stock.database, now + DELAYED_PAYMENT_TIME - timedelta(seconds=1)) == 0
    assert expire_due(stock.database, now + DELAYED_PAYMENT_TIME) == 1


def test_late_payment_sells_the_released_pieces(stock: Any, deliver_fact: Any) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    deliver_fact("chk_1", EXPIRED)
    deliver_fact("chk_1", PAID)
    assert (stock.status("chk_1"), stock.pieces()) == ("committed", {"TEE": (0, 0)})
    assert outbox_events(stock.database) == []


def test_late_payment_for_sold_pieces_is_published_as_oversold(stock: Any, deliver_fact: Any, now: datetime) -> None:
    stock.fill(TEE=3, SOCK=1, HAT=4)
    stock.reserve("chk_late", now, TEE=3, SOCK=1, HAT=2)
    expire_due(stock.database, now)
    stock.reserve("chk_other", TEE=2, SOCK=1)
    deliver_fact("chk_late", PAID)
    deliver_fact("chk_late", PAID, 2)
    assert stock.pieces() == {"TEE": (2, 2), "SOCK": (1, 1), "HAT": (2, 0)}
    [oversold] = outbox_events(stock.database)
    assert (oversold.type, oversold.correlation_id) == ("inventory.reservation.oversold", "chk_late")
    assert oversold.data["lines"] == [
        {"sku": "SOCK", "quantity": 1, "missing": 1},
        {"sku": "TEE", "quantity": 3, "missing": 2},
    ]
    with stock.database.read() as session:
        line = session.get(ReservationLine, ("chk_late", "TEE"))
    assert line is not None
    assert line.missing == 2


@pytest.mark.parametrize("fact", [PAID, UNPAID, SUCCEEDED])
def test_payment_without_a_reservation_waits(stock: Any, deliver_fact: Any, fact: Fact) -> None:
    assert deliver_fact("chk_1", fact) == "waiting"


def test_end_of_a_checkout_without_reservation_is_done(stock: Any, deliver_fact: Any) -> None:
    assert deliver_fact("chk_1", EXPIRED) == "done"


@pytest.mark.parametrize("fact", [PAID, UNPAID, SUCCEEDED, FAILED, EXPIRED])
def test_session_of_another_system_is_ignored(database: Database, deliver_fact: Any, fact: Fact) -> None:
    assert deliver_fact(None, fact) == "ignored"
    with database.read() as session:
        row = session.get(InboxEvent, f"evt_None_{'_'.join(fact)}_0")
    assert row is not None
    assert "metadata" in (row.error or "")


def orders(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    """Yield every order of the facts, each fact twice."""
    yield from sorted(set(permutations([*facts, *facts])))


@pytest.mark.parametrize("other_event", [False, True], ids=["same event again", "second Event object"])
@pytest.mark.parametrize(
    ("facts", "status", "on_hand"),
    [
        ([PAID], "committed", 7),
        ([UNPAID, SUCCEEDED], "committed", 7),
        ([UNPAID, FAILED], "released", 10),
        ([EXPIRED, PAID], "committed", 7),  # the first session expired, a recovered one was paid
        ([EXPIRED, UNPAID, SUCCEEDED], "committed", 7),
    ],
)
def test_every_order_of_events_leads_to_the_same_stock(
    stock: Any, deliver_fact: Any, now: datetime, facts: list[Fact], status: str, on_hand: int, other_event: bool
) -> None:
    for number, order in enumerate(orders(facts)):
        for swept in (False, True):
            checkout_id, sku = f"chk_{number}_{swept}", f"SKU{number}{swept}"
            stock.fill(**{sku: 10})
            stock.reserve(checkout_id, now, **{sku: 3})
            if swept:
                expire_due(stock.database, now)
            for place, fact in enumerate(order):
                deliver_fact(checkout_id, fact, place if other_event else 0)
            assert (stock.status(checkout_id), stock.pieces()[sku]) == (status, (on_hand, 0)), (order, swept)
    assert outbox_events(stock.database) == []


def test_late_expiry_after_the_payment_keeps_the_lines(stock: Any, deliver_fact: Any) -> None:
    stock.fill(TEE=3)
    stock.reserve("chk_1", TEE=3)
    for fact in (PAID, EXPIRED, FAILED):
        assert deliver_fact("chk_1", fact) == "done"
    with stock.database.read() as session:
        reservation = session.get(Reservation, "chk_1")
        assert reservation is not None
        assert [(line.sku, line.quantity, line.missing) for line in reservation.lines] == [("TEE", 3, 0)]
