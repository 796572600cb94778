"""The inbox and the outbox of a forgotten customer: nothing of her is left, and no event is lost."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.database.engine import Database
from events.database.migrations import downgrade, migrate
from events.errors import NotYet
from events.messaging import inbox, outbox
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.erasure import erase_inbox, erase_outbox
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import INTERRUPTED, InboxEvent
from events.messaging.runner import Runner
from events.operations.inbox import act
from events.testing.columns import columns_with
from events.testing.fixtures import MakeDatabase
from sqlalchemy import inspect

HER = "zoe@example.com"
CHAINS = [INBOX, OUTBOX]


def started(checkout_id: str = "chk_1", event_id: str = "evt_1") -> Event:
    amounts = {"amount_subtotal": 10, "amount_discount": 0, "amount_shipping": 0, "amount_total": 10}
    line = {"sku": "TEE", "name": "Tee", "quantity": 1, "unit_amount": 10, "amount_total": 10}
    data = {
        "checkout_id": checkout_id, "session_id": "cs_1", "livemode": False, "currency": "eur", **amounts,
        "customer_email": HER, "expires_at": datetime(2026, 11, 3, tzinfo=UTC), "lines": [line],
    }  # fmt: skip
    return own_event("checkout.checkout.started", data, correlation_id=checkout_id, event_id=event_id)


def store(database: Database, event: Event, status: str = "retrying", error: Exception | None = None) -> None:
    with database.begin() as session:
        inbox.store_unhandled(session, event, status, error or ValueError(f"unknown: {HER}"))


def row(database: Database, event_id: str = "evt_1") -> InboxEvent:
    with database.read() as session:
        return session.get_one(InboxEvent, event_id)


def forget(database: Database, checkout_id: str = "chk_1") -> None:
    with database.begin() as session:
        erase_inbox(session, checkout_id)
        erase_outbox(session, checkout_id)


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


@pytest.mark.parametrize("status", ["waiting", "retrying", "failed", "discarded"])
def test_stored_event_can_be_handled_afterwards_and_says_nothing_of_her(database: Database, status: str) -> None:
    store(database, started(), "waiting" if status == "waiting" else "retrying")
    with database.begin() as session:
        held = session.get_one(InboxEvent, "evt_1")
        held.error = held.error or ""
        if status == "failed":
            held.status, held.next_attempt_at = status, None
    if status == "discarded":
        with database.begin() as session:
            act(session, "discard", ["evt_1"], actor="ana", reason="a test")
    forget(database)
    assert columns_with(database, HER) == []
    assert row(database).status == status
    assert row(database).event().data["amount_total"] == 10


def test_event_that_a_dead_worker_had_in_hand_is_still_known_as_interrupted(database: Database) -> None:
    store(database, started())
    with database.begin() as session:
        inbox.claim_due(session, datetime.now(UTC) + timedelta(days=1))
    forget(database)
    assert row(database).error == INTERRUPTED
    assert columns_with(database, HER) == []


def test_events_of_others_stay_as_they_are(database: Database) -> None:
    store(database, started("chk_2", "evt_2"))
    before = row(database, "evt_2")
    forget(database)
    after = row(database, "evt_2")
    assert (after.body, after.error, after.traceback) == (before.body, before.error, before.traceback)


def test_what_is_promised_is_published_and_what_was_published_can_be_again(database: Database) -> None:
    with database.begin() as session:
        for number in (1, 2):
            outbox._add(session, started(event_id=f"evt_{number}"))
    with database.begin() as session:
        outbox.mark_published(session, ["evt_2"])
    forget(database)
    assert columns_with(database, HER) == []
    with database.begin() as session:
        assert [promised.event_id for promised in outbox.claim(session)] == ["evt_1"]
        assert outbox.republish(session, datetime(2026, 1, 1, tzinfo=UTC)) == 1
        bodies = [promised.event().data for promised in outbox.claim(session)]
    assert [(data["amount_total"], data["customer_email"]) for data in bodies] == [(10, None), (10, None)]


def test_later_event_is_stored_without_her(database: Database) -> None:
    forget(database)
    store(database, started())
    store(database, started(event_id="evt_2"), "waiting", NotYet(HER))
    assert columns_with(database, HER) == []


def test_whoever_stores_an_event_waits_for_whoever_forgets(postgres_database: MakeDatabase) -> None:
    """Else it would look for the tombstone before it is there, and write after the inbox was gone through."""
    database = postgres_database(CHAINS)
    storing = threading.Thread(target=store, args=(database, started()))
    with database.begin() as session:
        erase_inbox(session, "chk_1")
        storing.start()
        storing.join(0.5)
        assert storing.is_alive()
    storing.join(10)
    assert columns_with(database, HER) == []
    assert row(database).status == "retrying"


def test_whoever_forgets_waits_for_whoever_stores(postgres_database: MakeDatabase) -> None:
    database = postgres_database(CHAINS)
    forgetting = threading.Thread(target=forget, args=(database,))
    with database.begin() as session:
        inbox.store_unhandled(session, started(), "retrying", ValueError(HER))
        forgetting.start()
        forgetting.join(0.5)
        assert forgetting.is_alive()
    forgetting.join(10)
    assert columns_with(database, HER) == []


def test_retry_that_fails_again_says_what_failed(database: Database) -> None:
    """Once the event no longer bears her, its error is worth reading again."""
    handlers = Handlers()

    @handlers.on("checkout.checkout.started")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"no table for {event.data['customer_email']}")

    store(database, started())
    forget(database)
    Runner(database, handlers).retry_due(datetime.now(UTC) + timedelta(minutes=1))
    assert row(database).error == "ValueError: no table for None"


def test_new_revisions_lead_back_and_forth(database: Database) -> None:
    for chain, gone in ((INBOX, "erased_checkouts"), (OUTBOX, "ix_outbox_correlation_id")):
        downgrade(database, chain)
        assert gone not in _names(database)
    migrate(database, CHAINS)
    assert {"erased_checkouts", "ix_outbox_correlation_id"} <= _names(database)


def _names(database: Database) -> set[str]:
    found = inspect(database.engine)
    tables = set(found.get_table_names())
    return tables | {str(index["name"]) for table in tables for index in found.get_indexes(table)}
