"""Stripe's events come in any order and more than once: the order ends the same."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from events.database import Database, utcnow
from events.envelope import Event
from events.runner import Runner
from events.testing import deliver, outbox_events
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, charge, payment_intent, stripe_event
from orders.handlers import handlers
from orders.models import CHAINS, Base, Order
from sqlalchemy import select
from sqlalchemy.orm import selectinload

CHECKOUT, INTENT = "chk_1", "pi_1"
SessionEvent = Callable[..., Event]


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


def arrive(database: Database, events: Sequence[Event]) -> Order:
    """Deliver in this order, then let the time of what waits come."""
    for event in events:
        deliver(database, handlers, event)
    Runner(database, handlers).retry_due(utcnow() + timedelta(minutes=1))
    return the_order(database)


def the_order(database: Database) -> Order:
    with database.read() as session:
        statement = select(Order).options(selectinload(Order.payments), selectinload(Order.attempts))
        order: Order = session.scalars(statement.options(selectinload(Order.timeline))).one()
    return order


def announced(database: Database) -> Counter[str]:
    return Counter(event.type for event in outbox_events(database))


def card_purchase(started: Event, session_event: SessionEvent) -> list[Event]:
    return [
        started,
        as_bus_event(stripe_event("payment_intent.succeeded", payment_intent(CHECKOUT, id=INTENT))),
        as_bus_event(stripe_event("charge.succeeded", charge(CHECKOUT, payment_intent=INTENT))),
        session_event("completed"),
    ]


def empty(database: Database) -> None:
    """Forget everything: cheaper than a new database for each of many permutations."""
    with database.begin() as session:
        for chain in CHAINS:
            for table in reversed(chain.metadata.sorted_tables):
                session.execute(table.delete())


def check_paid_once(database: Database, order: Order) -> None:
    assert order.status == "paid"
    assert not order.needs_review
    assert [(payment.id, payment.amount) for payment in order.payments] == [(INTENT, 5738)]
    assert announced(database) == {"orders.order.paid": 1}


def test_every_order_of_arrival_of_a_card_purchase_ends_in_one_paid_order(
    database: Database, started: Event, session_event: SessionEvent
) -> None:
    purchase = card_purchase(started, session_event)
    for permutation in itertools.permutations(purchase):
        for repeated in range(len(purchase)):
            events = [*permutation, permutation[repeated]]
            check_paid_once(database, arrive(database, events))
            empty(database)
        check_paid_once(database, arrive(database, [event for event in permutation for _ in range(2)]))
        empty(database)


def test_the_same_on_postgresql(postgres_database: MakeDatabase, started: Event, session_event: SessionEvent) -> None:
    database = postgres_database(CHAINS)
    purchase = card_purchase(started, session_event)
    for permutation in (purchase, purchase[::-1], [purchase[3], purchase[0], purchase[2], purchase[1]]):
        check_paid_once(database, arrive(database, [*permutation, *permutation]))
        empty(database)


def test_two_events_of_one_change_pay_once(database: Database, started: Event, session_event: SessionEvent) -> None:
    """Stripe may describe one change by two Events, with ids of their own."""
    check_paid_once(database, arrive(database, [started, session_event("completed"), session_event("completed")]))


@pytest.mark.parametrize(("ending", "status"), [("succeeded", "paid"), ("failed", "payment_failed")])
def test_delayed_method_ends_the_same_in_every_order(
    database: Database, started: Event, session_event: SessionEvent, ending: str, status: str
) -> None:
    events = [
        started,
        session_event("completed", payment_status="unpaid"),
        session_event(f"async_payment_{ending}", payment_status="paid" if ending == "succeeded" else "unpaid"),
    ]
    for permutation in itertools.permutations(events):
        assert arrive(database, [*permutation, *permutation]).status == status
        told = announced(database)
        assert told["orders.order.paid"] == (ending == "succeeded")
        assert told["orders.payment.failed"] == (ending == "failed")
        assert told["orders.payment.pending"] <= 1
        empty(database)


def test_pending_customer_is_told_before_the_money_comes(
    database: Database, started: Event, session_event: SessionEvent
) -> None:
    order = arrive(database, [started, session_event("completed", payment_status="unpaid")])
    assert order.status == "payment_pending"
    assert order.customer_email == "zoe@example.com"
    assert announced(database) == {"orders.payment.pending": 1}


@pytest.mark.parametrize("late", ["async_payment_failed", "expired"])
def test_late_failure_does_not_unpay_the_order(
    database: Database, started: Event, session_event: SessionEvent, late: str
) -> None:
    order = arrive(database, [started, session_event("completed"), session_event(late)])
    check_paid_once(database, order)


def test_payment_after_expiry_pays(database: Database, started: Event, session_event: SessionEvent) -> None:
    expired = session_event("expired", status="expired", payment_status="unpaid", payment_intent=None)
    order = arrive(database, [started, expired, session_event("completed")])
    assert order.status == "paid"
    assert announced(database) == {"orders.order.expired": 1, "orders.order.paid": 1}


def test_expiry_brings_the_recovery_link(database: Database, started: Event, session_event: SessionEvent) -> None:
    recovery = {"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/live_abc"}}
    expired = session_event("expired", status="expired", payment_status="unpaid", after_expiration=recovery)
    assert arrive(database, [started, expired]).status == "expired"
    [event] = outbox_events(database)
    assert event.data["recovery_url"] == "https://buy.stripe.com/r/live_abc"


def test_recovered_cart_is_a_new_session_of_the_old_order(
    database: Database, started: Event, session_event: SessionEvent
) -> None:
    expired = session_event("expired", status="expired", payment_status="unpaid")
    paid = session_event("completed", id="cs_2", recovered_from="cs_1", payment_intent="pi_2")
    order = arrive(database, [started, expired, paid])
    assert (order.status, order.session_id) == ("paid", "cs_2")


def test_declined_attempt_leaves_the_order_open(
    database: Database, started: Event, session_event: SessionEvent
) -> None:
    declined = payment_intent(
        CHECKOUT,
        status="requires_payment_method",
        last_payment_error={"charge": "ch_1", "decline_code": "insufficient_funds"},
    )
    events = [as_bus_event(stripe_event("payment_intent.payment_failed", declined)) for _ in range(2)]
    order = arrive(database, [started, *events])
    assert order.status == "open"
    assert [attempt.code for attempt in order.attempts] == ["insufficient_funds"]
    assert announced(database) == {}


def test_free_order_is_paid_without_a_payment_intent(
    database: Database, started: Event, session_event: SessionEvent
) -> None:
    free = session_event("completed", payment_status="no_payment_required", payment_intent=None)
    order = arrive(database, [started, free])
    assert order.status == "paid"
    assert [payment.id for payment in order.payments] == ["cs_1"]


@pytest.mark.parametrize(
    ("change", "headers", "reason"),
    [
        ({"amount_total": 5737}, {}, "amount-mismatch"),
        ({"currency": "usd"}, {}, "currency-mismatch"),
        ({"livemode": True}, {}, "livemode-mismatch"),
        ({}, {"account": "acct_other"}, "account-mismatch"),
    ],
)
def test_payment_that_does_not_agree_is_kept_for_a_person(
    database: Database,
    started: Event,
    session_event: SessionEvent,
    change: dict[str, object],
    headers: dict[str, str],
    reason: str,
) -> None:
    order = arrive(database, [started, session_event("completed", headers=headers, **change)])
    assert (order.status, order.needs_review, order.review_reason) == ("paid", True, reason)
    assert announced(database) == {"orders.review.opened": 1}


def test_tax_that_stripe_adds_is_no_mismatch(database: Database, started: Event, session_event: SessionEvent) -> None:
    taxed = session_event("completed", amount_total=6738, total_details={"amount_tax": 1000})
    check = arrive(database, [started, taxed])
    assert not check.needs_review


def test_session_of_somebody_else_is_ignored(database: Database) -> None:
    from events.testing.stripe import checkout_session

    foreign = as_bus_event(stripe_event("checkout.session.completed", checkout_session(None)))
    assert deliver(database, handlers, foreign) == "ignored"


@pytest.mark.parametrize(
    "event_type",
    ["charge.refunded", "refund.created", "refund.updated", "charge.dispute.created", "charge.dispute.closed"],
)
def test_refunds_and_disputes_arrive_without_harm(
    database: Database, started: Event, session_event: SessionEvent, event_type: str
) -> None:
    arrive(database, [started, session_event("completed")])
    about = {
        "id": "re_1",
        "object": event_type.split(".", maxsplit=1)[0],
        "amount": 100,
        "payment_intent": INTENT,
        "metadata": {},
    }
    ours = as_bus_event(stripe_event(event_type, about))
    foreign = as_bus_event(stripe_event(event_type, {**about, "payment_intent": "pi_foreign"}))
    assert deliver(database, handlers, ours) == "done"
    assert deliver(database, handlers, foreign) == "ignored"
    order = the_order(database)
    assert order.status == "paid"
    assert event_type in [entry.kind for entry in order.timeline]


def test_models_and_migrations_agree(any_database: MakeDatabase) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from events.migrations import downgrade, migrate

    database = any_database(CHAINS)
    downgrade(database, CHAINS[-1])
    migrate(database, CHAINS)
    with database.engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
