from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.messaging.session_payment import PENDING_HOLD_TIME
from events.testing.arrival import each_order
from events.testing.bus import deliver, outbox_events
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.handlers import handlers
from inventory.models import Reservation, ReservationLine
from inventory.reservations import expire_due, publish_expiring

PAID = ("completed", "paid", "2")
UNPAID = ("completed", "unpaid", "2")
UNKNOWN = ("completed", "paid_by_barter", "2")  # Stripe can add values
FREE = ("completed", "no_payment_required", "2")
SUCCEEDED = ("async_payment_succeeded", "paid", "2")
EXPIRED = ("expired", "unpaid", "1")  # the first session; the others are about the one from its recovery link
FAILED = ("async_payment_failed", "unpaid", "2")
UNPAID_AGAIN = ("completed", "unpaid", "3")
PAID_AGAIN = ("async_payment_succeeded", "paid", "3")

Fact = tuple[str, str, str]


@pytest.fixture
def deliver_fact(database: Database, now: datetime) -> Any:
    """Return a function that delivers a fact about a checkout's session. Each `number` is a separate Event."""

    def deliver_one(checkout_id: str | None, fact: Fact, number: int = 0) -> str:
        return deliver(database, handlers, event(checkout_id, fact, number, now))

    return deliver_one


def event(checkout_id: str | None, fact: Fact, number: int, now: datetime) -> Event:
    kind, payment_status, number_of_session = fact
    session_id = f"cs_{checkout_id}_{number_of_session}"
    times = {"expires_at": int(now.timestamp()) + 1800, "created": 0}
    session = checkout_session(checkout_id, id=session_id, payment_status=payment_status, **times)
    event_id = f"evt_{checkout_id}_{'_'.join(fact)}_{number}"
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
    assert expire_due(stock.database, now + PENDING_HOLD_TIME - timedelta(seconds=1)) == 0
    assert expire_due(stock.database, now + PENDING_HOLD_TIME) == 1


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


@pytest.mark.parametrize("fact", [PAID, SUCCEEDED])
@pytest.mark.parametrize(("received_in", "published"), [(1799, 0), (1801, 1)])
def test_only_a_late_payments_result_is_published(
    stock: Any, now: datetime, fact: Fact, received_in: int, published: int
) -> None:
    """The session ends half an hour after `now`, and Stripe's event arrives at the ingest a second before or after."""
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    received_at = (now + timedelta(seconds=received_in)).isoformat()
    paid = event("chk_1", fact, 0, now)
    deliver(stock.database, handlers, replace(paid, headers={**paid.headers, "received_at": received_at}))
    assert stock.pieces() == {"TEE": (0, 0)}
    assert [found.type for found in outbox_events(stock.database)] == ["inventory.reservation.committed"] * published


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


@pytest.mark.parametrize("fact", [UNPAID, UNKNOWN])
@pytest.mark.parametrize("others", [[], [EXPIRED], [EXPIRED, FAILED]], ids=["alone", "expired", "expired and failed"])
def test_payment_under_way_outranks_the_other_sessions(
    stock: Any, deliver_fact: Any, now: datetime, fact: Fact, others: list[Fact]
) -> None:
    """A recovered cart is paid by a delayed method: its first session's end frees nothing, in every order."""
    under_way = (*fact[:2], "3")
    for number, order in enumerate(permutations([under_way, *others])):
        checkout_id, sku = f"chk_{number}", f"SKU{number}"
        stock.fill(**{sku: 10})
        stock.reserve(checkout_id, now, **{sku: 3})
        for each in order:
            assert deliver_fact(checkout_id, each) == "done"
        assert (stock.status(checkout_id), stock.pieces()[sku]) == ("held", (10, 3)), order
        expire_due(stock.database, now + PENDING_HOLD_TIME - timedelta(seconds=1))
        assert stock.status(checkout_id) == "held"
    assert outbox_events(stock.database) == []


def test_recovered_cart_paid_late_without_stock_is_oversold(stock: Any, deliver_fact: Any) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    deliver_fact("chk_1", EXPIRED)
    stock.reserve("chk_other", TEE=1)
    deliver_fact("chk_1", UNPAID)
    assert (stock.status("chk_1"), stock.pieces()) == ("released", {"TEE": (1, 1)})
    deliver_fact("chk_1", SUCCEEDED)
    [oversold] = outbox_events(stock.database)
    assert oversold.data["lines"] == [{"sku": "TEE", "quantity": 1, "missing": 1}]
    assert stock.pieces() == {"TEE": (1, 1)}


def test_pending_reservation_is_published_once_before_its_end(stock: Any, deliver_fact: Any, now: datetime) -> None:
    stock.fill(TEE=1, SOCK=1)
    stock.reserve("chk_1", now, TEE=1)
    stock.reserve("chk_open", now + PENDING_HOLD_TIME, SOCK=1)
    deliver_fact("chk_1", UNPAID)
    notice, end = timedelta(days=2), now + PENDING_HOLD_TIME

    def publish(at: datetime) -> int:
        return publish_expiring(stock.database, notice, at)

    assert [publish(end - timedelta(days=3)), publish(end - notice), publish(end)] == [0, 1, 0]
    stock.extend("chk_1", end + timedelta(days=7))
    assert [publish(end), publish(end + timedelta(days=5))] == [0, 1]
    assert [event.data for event in outbox_events(stock.database)] == [
        {"checkout_id": "chk_1", "expires_at": until, "lines": [{"sku": "TEE", "quantity": 1}]}
        for until in (end, end + timedelta(days=7))
    ]


def test_lost_reserved_piece_makes_the_last_order_oversold(stock: Any, deliver_fact: Any, client: Any) -> None:
    operator = {"Authorization": "Bearer operator-token-of-ana"}
    stock.fill(TEE=2)
    stock.reserve("chk_1", TEE=1)
    stock.reserve("chk_2", TEE=1)
    lost = client.post("/stock/TEE/movements", json={"adjust": -1, "expected": 2, "reason": "moths"}, headers=operator)
    assert lost.status_code == 201
    assert lost.json == {
        "sku": "TEE", "on_hand": 1, "reserved": 2, "available": 0, "deficit": 1, "sold_unshipped": 0,
    }  # fmt: skip
    deliver_fact("chk_1", PAID)
    deliver_fact("chk_2", PAID)
    oversold = outbox_events(stock.database)[-1]
    lines = [{"sku": "TEE", "quantity": 1, "missing": 1}]
    assert oversold.data == {"checkout_id": "chk_2", "lines": lines, "return_id": None}
    assert client.get("/stock/TEE", headers=operator).json == {
        "sku": "TEE", "on_hand": 0, "reserved": 0, "available": 0, "deficit": 0, "sold_unshipped": 1,
    }  # fmt: skip


def orders(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    """Yield every order of the facts, each fact twice; of four or more facts, each once."""
    yield from sorted(set(permutations([*facts, *facts] if len(facts) < 4 else facts)))


@pytest.mark.parametrize("other_event", [False, True], ids=["same event again", "second Event object"])
@pytest.mark.parametrize(
    ("facts", "status", "on_hand"),
    [
        ([PAID], "committed", 7),
        ([UNPAID, SUCCEEDED], "committed", 7),
        ([UNKNOWN, FAILED], "released", 10),
        ([UNPAID, FAILED], "released", 10),
        ([EXPIRED, PAID], "committed", 7),  # the first session expired, a recovered one was paid
        ([EXPIRED, UNPAID, SUCCEEDED], "committed", 7),
        ([EXPIRED, UNPAID, FAILED], "released", 10),
        ([UNPAID, FAILED, UNPAID_AGAIN, PAID_AGAIN], "committed", 7),
    ],
)
def test_every_order_of_events_leads_to_the_same_stock(
    stock: Any, deliver_fact: Any, now: datetime, facts: list[Fact], status: str, on_hand: int, other_event: bool
) -> None:
    def deliver_next(before: Sequence[Fact], fact: Fact) -> None:
        deliver_fact("chk_1", fact, len(before) if other_event else 0)

    stock.fill(TEE=10)
    stock.reserve("chk_1", now, TEE=3)
    for swept in (False, True):
        if swept:
            expire_due(stock.database, now)
        for order in each_order(stock.database, orders(facts), deliver_next):
            assert (stock.status("chk_1"), stock.pieces()["TEE"]) == (status, (on_hand, 0)), (order, swept)
            assert outbox_events(stock.database) == [], (order, swept)


def test_late_expiry_after_the_payment_keeps_the_lines(stock: Any, deliver_fact: Any) -> None:
    stock.fill(TEE=3)
    stock.reserve("chk_1", TEE=3)
    for fact in (PAID, EXPIRED, FAILED):
        assert deliver_fact("chk_1", fact) == "done"
    with stock.database.read() as session:
        reservation = session.get(Reservation, "chk_1")
        assert reservation is not None
        assert [(line.sku, line.quantity, line.missing) for line in reservation.lines] == [("TEE", 3, 0)]
