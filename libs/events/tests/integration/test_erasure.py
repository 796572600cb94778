"""Erasure in inbox and outbox: all personal data is removed, and no event is lost."""

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
from events.operations.inbox import apply_action
from events.testing.columns import columns_with
from events.testing.fixtures import MakeDatabase
from sqlalchemy import inspect

EMAIL = "zoe@example.com"
CHAINS = [INBOX, OUTBOX]


def started(checkout_id: str = "chk_1", event_id: str = "evt_1") -> Event:
    amounts = {"amount_subtotal": 10, "amount_discount": 0, "amount_shipping": 0, "amount_total": 10}
    line = {"sku": "TEE", "name": "Tee", "quantity": 1, "unit_amount": 10, "amount_total": 10}
    data = {
        "checkout_id": checkout_id, "session_id": "cs_1", "livemode": False, "currency": "eur", **amounts,
        "customer_email": EMAIL, "expires_at": datetime(2026, 11, 3, tzinfo=UTC), "lines": [line],
    }  # fmt: skip
    return own_event("checkout.checkout.started", data, correlation_id=checkout_id, event_id=event_id)


def store(database: Database, event: Event, status: str = "retrying", error: Exception | None = None) -> None:
    with database.begin() as session:
        inbox.store_unhandled(session, event, status, error or ValueError(f"unknown: {EMAIL}"))


def row(database: Database, event_id: str = "evt_1") -> InboxEvent:
    with database.read() as session:
        return session.get_one(InboxEvent, event_id)


def erase(database: Database, checkout_id: str = "chk_1") -> None:
    with database.begin() as session:
        erase_inbox(session, checkout_id)
        erase_outbox(session, checkout_id)


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


@pytest.mark.parametrize("status", ["waiting", "retrying", "failed", "discarded"])
def test_stored_event_is_redacted_and_can_still_be_handled(database: Database, status: str) -> None:
    store(database, started(), "waiting" if status == "waiting" else "retrying")
    with database.begin() as session:
        stored = session.get_one(InboxEvent, "evt_1")
        if status == "failed":
            stored.status, stored.next_attempt_at = status, None
    if status == "discarded":
        with database.begin() as session:
            apply_action(session, "discard", ["evt_1"], actor="ana", reason="a test")
    erase(database)
    assert columns_with(database, EMAIL) == []
    assert row(database).status == status
    assert row(database).event().data["amount_total"] == 10


def test_erasure_keeps_interrupted_events_interrupted(database: Database) -> None:
    store(database, started())
    with database.begin() as session:
        inbox.claim_due(session, datetime.now(UTC) + timedelta(days=1))
    erase(database)
    assert row(database).error == INTERRUPTED
    assert columns_with(database, EMAIL) == []


def test_erasure_leaves_other_checkouts_unchanged(database: Database) -> None:
    store(database, started("chk_2", "evt_2"))
    before = row(database, "evt_2")
    erase(database)
    after = row(database, "evt_2")
    assert (after.body, after.error, after.traceback) == (before.body, before.error, before.traceback)


def test_outbox_rows_are_published_redacted_after_the_erasure(database: Database) -> None:
    with database.begin() as session:
        for number in (1, 2):
            outbox._add(session, started(event_id=f"evt_{number}"))
    with database.begin() as session:
        outbox.mark_published(session, ["evt_2"])
    erase(database)
    assert columns_with(database, EMAIL) == []
    with database.begin() as session:
        assert [row.event_id for row in outbox.claim(session)] == ["evt_1"]
        session.rollback()  # nothing is claimed
    assert outbox.republish(database, datetime(2026, 1, 1, tzinfo=UTC)) == 1
    with database.begin() as session:
        bodies = [row.event().data for row in outbox.claim(session)]
    assert [(data["amount_total"], data["customer_email"]) for data in bodies] == [(10, None), (10, None)]


def test_event_after_the_erasure_is_stored_redacted(database: Database) -> None:
    erase(database)
    store(database, started())
    store(database, started(event_id="evt_2"), "waiting", NotYet(EMAIL))
    assert columns_with(database, EMAIL) == []


def test_event_to_store_waits_for_a_running_erasure(postgres_database: MakeDatabase) -> None:
    """Otherwise it would find no erased checkout yet, and store the event after the erasure read the inbox."""
    database = postgres_database(CHAINS)
    storing = threading.Thread(target=store, args=(database, started()))
    with database.begin() as session:
        erase_inbox(session, "chk_1")
        storing.start()
        storing.join(0.5)
        assert storing.is_alive()
    storing.join(10)
    assert columns_with(database, EMAIL) == []
    assert row(database).status == "retrying"


def test_erasure_waits_for_an_event_that_is_being_stored(postgres_database: MakeDatabase) -> None:
    database = postgres_database(CHAINS)
    erasing = threading.Thread(target=erase, args=(database,))
    with database.begin() as session:
        inbox.store_unhandled(session, started(), "retrying", ValueError(EMAIL))
        erasing.start()
        erasing.join(0.5)
        assert erasing.is_alive()
    erasing.join(10)
    assert columns_with(database, EMAIL) == []


def test_failed_retry_after_erasure_stores_its_error(database: Database) -> None:
    """A redacted event cannot put personal data into its error text, so the text is kept again."""
    handlers = Handlers()

    @handlers.on("checkout.checkout.started")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"no table for {event.data['customer_email']}")

    store(database, started())
    erase(database)
    Runner(database, handlers).retry_due(datetime.now(UTC) + timedelta(minutes=1))
    assert row(database).error == "ValueError: no table for None"


def test_revisions_downgrade_and_upgrade_again(database: Database) -> None:
    for chain, removed in ((INBOX, "erased_checkouts"), (OUTBOX, "ix_outbox_correlation_id")):
        downgrade(database, chain)
        assert removed not in _names(database)
    migrate(database, CHAINS)
    assert {"erased_checkouts", "ix_outbox_correlation_id"} <= _names(database)


def _names(database: Database) -> set[str]:
    found = inspect(database.engine)
    tables = set(found.get_table_names())
    return tables | {str(index["name"]) for table in tables for index in found.get_indexes(table)}
