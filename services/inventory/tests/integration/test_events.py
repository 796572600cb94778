from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.testing import deliver, outbox_events
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.handlers import DELAYED, handlers
from inventory.models import Reservation, ReservationLine
from inventory.reservations import expire_due

PAID = ("completed", "paid")
UNPAID = ("completed", "unpaid")
FREE = ("completed", "no_payment_required")
SUCCEEDED = ("async_payment_succeeded", "paid")
LAPSED = ("expired", "unpaid")
FAILED = ("async_payment_failed", "unpaid")

Fact = tuple[str, str]


@pytest.fixture
def tell(database: Database, now: datetime) -> Any:
    """Deliver a fact of a checkout's session; what became of it. Each `number` is an Event of its own."""

    def deliver_fact(checkout_id: str | None, fact: Fact, number: int = 0) -> str:
        return deliver(database, handlers, event(checkout_id, fact, number, now))

    return deliver_fact


def event(checkout_id: str | None, fact: Fact, number: int, now: datetime) -> Event:
    kind, payment_status = fact
    session = checkout_session(checkout_id, payment_status=payment_status, expires_at=0, created=0)
    event_id = f"evt_{checkout_id}_{kind}_{payment_status}_{number}"
    document = stripe_event(f"checkout.session.{kind}", session, event_id=event_id, created=int(now.timestamp()))
    return as_bus_event(document)


@pytest.mark.parametrize("fact", [PAID, FREE, SUCCEEDED])
def test_payment_sells_what_was_held(shelf: Any, tell: Any, fact: Fact) -> None:
    shelf.fill(TEE=5, SOCK=2)
    shelf.reserve("chk_1", TEE=3, SOCK=1)
    assert tell("chk_1", fact) == "done"
    assert shelf.pieces() == {"TEE": (2, 0), "SOCK": (1, 0)}
    assert outbox_events(shelf.database) == []


def test_second_event_of_one_payment_is_done_and_sells_nothing(shelf: Any, tell: Any) -> None:
    shelf.fill(TEE=5)
    shelf.reserve("chk_1", TEE=3)
    assert [tell("chk_1", PAID, number) for number in (1, 2)] == ["done", "done"]
    assert shelf.pieces() == {"TEE": (2, 0)}


@pytest.mark.parametrize("fact", [LAPSED, FAILED])
def test_end_without_payment_gives_back(shelf: Any, tell: Any, fact: Fact) -> None:
    shelf.fill(TEE=5)
    shelf.reserve("chk_1", TEE=3)
    assert tell("chk_1", fact) == "done"
    assert (shelf.status("chk_1"), shelf.pieces()) == ("released", {"TEE": (5, 0)})


def test_delayed_method_keeps_the_pieces_for_as_long_as_it_may_take(shelf: Any, tell: Any, now: datetime) -> None:
    shelf.fill(TEE=1)
    shelf.reserve("chk_1", TEE=1)
    tell("chk_1", UNPAID)
    assert expire_due(shelf.database, now + DELAYED - timedelta(seconds=1)) == 0
    assert expire_due(shelf.database, now + DELAYED) == 1


def test_late_payment_takes_the_pieces_again(shelf: Any, tell: Any) -> None:
    shelf.fill(TEE=1)
    shelf.reserve("chk_1", TEE=1)
    tell("chk_1", LAPSED)
    tell("chk_1", PAID)
    assert (shelf.status("chk_1"), shelf.pieces()) == ("committed", {"TEE": (0, 0)})
    assert outbox_events(shelf.database) == []


def test_late_payment_for_what_is_gone_is_told_as_oversold(shelf: Any, tell: Any, now: datetime) -> None:
    shelf.fill(TEE=3, SOCK=1, HAT=4)
    shelf.reserve("chk_late", now, TEE=3, SOCK=1, HAT=2)
    expire_due(shelf.database, now)
    shelf.reserve("chk_other", TEE=2, SOCK=1)
    tell("chk_late", PAID)
    tell("chk_late", PAID, 2)
    assert shelf.pieces() == {"TEE": (2, 2), "SOCK": (1, 1), "HAT": (2, 0)}
    [oversold] = outbox_events(shelf.database)
    assert (oversold.type, oversold.correlation_id) == ("inventory.reservation.oversold", "chk_late")
    assert oversold.data["lines"] == [
        {"sku": "SOCK", "quantity": 1, "missing": 1},
        {"sku": "TEE", "quantity": 3, "missing": 2},
    ]
    with shelf.database.read() as session:
        line = session.get(ReservationLine, ("chk_late", "TEE"))
    assert line is not None
    assert line.missing == 2


@pytest.mark.parametrize("fact", [PAID, UNPAID, SUCCEEDED])
def test_payment_waits_for_a_reservation_that_is_unknown(shelf: Any, tell: Any, fact: Fact) -> None:
    assert tell("chk_1", fact) == "waiting"


def test_end_of_a_checkout_that_reserved_nothing_changes_nothing(shelf: Any, tell: Any) -> None:
    assert tell("chk_1", LAPSED) == "done"


@pytest.mark.parametrize("fact", [PAID, UNPAID, SUCCEEDED, FAILED, LAPSED])
def test_sessions_of_others_are_ignored(database: Database, tell: Any, fact: Fact) -> None:
    assert tell(None, fact) == "ignored"
    with database.read() as session:
        row = session.get(InboxEvent, f"evt_None_{'_'.join(fact)}_0")
    assert row is not None
    assert "metadata" in (row.error or "")


def orders(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    """Every order in which the facts may come, each of them twice."""
    yield from sorted(set(permutations([*facts, *facts])))


@pytest.mark.parametrize("other_event", [False, True], ids=["same event again", "second Event object"])
@pytest.mark.parametrize(
    ("facts", "status", "on_hand"),
    [
        ([PAID], "committed", 7),
        ([UNPAID, SUCCEEDED], "committed", 7),
        ([UNPAID, FAILED], "released", 10),
        ([LAPSED, PAID], "committed", 7),  # the first session lapsed, a recovered one was paid
        ([LAPSED, UNPAID, SUCCEEDED], "committed", 7),
    ],
)
def test_every_order_of_a_sessions_events_leads_to_the_same_stock(
    shelf: Any, tell: Any, now: datetime, facts: list[Fact], status: str, on_hand: int, other_event: bool
) -> None:
    for number, order in enumerate(orders(facts)):
        for swept in (False, True):
            checkout_id, sku = f"chk_{number}_{swept}", f"SKU{number}{swept}"
            shelf.fill(**{sku: 10})
            shelf.reserve(checkout_id, now, **{sku: 3})
            if swept:
                expire_due(shelf.database, now)
            for place, fact in enumerate(order):
                tell(checkout_id, fact, place if other_event else 0)
            assert (shelf.status(checkout_id), shelf.pieces()[sku]) == (status, (on_hand, 0)), (order, swept)
    assert outbox_events(shelf.database) == []


def test_late_lapse_after_commit_keeps_the_lines(shelf: Any, tell: Any) -> None:
    shelf.fill(TEE=3)
    shelf.reserve("chk_1", TEE=3)
    for fact in (PAID, LAPSED, FAILED):
        assert tell("chk_1", fact) == "done"
    with shelf.database.read() as session:
        reservation = session.get(Reservation, "chk_1")
        assert reservation is not None
        assert [(line.sku, line.quantity, line.missing) for line in reservation.lines] == [("TEE", 3, 0)]
