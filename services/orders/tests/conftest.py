"""The orders' tests mock nothing: what it needs is a database, and events that the real runner delivers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event, own_event
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import Runner
from events.testing import deliver
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, charge, checkout_session, dispute, payment_intent, refund, stripe_event
from flask.testing import FlaskClient
from orders import search
from orders.app import create_app
from orders.config import Config
from orders.handlers import handlers
from orders.models.chains import CHAINS
from orders.models.orders import Order
from sqlalchemy import select

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
LONG_AFTER = timedelta(days=400)  # later than any retry is scheduled
AMOUNTS = {"amount_subtotal": 5248, "amount_discount": 0, "amount_shipping": 490, "amount_total": 5738}
LINES = [
    {"sku": "TEE-M", "name": "Tee, M", "quantity": 2, "unit_amount": 1999, "amount_total": 3998},
    {"sku": "SOCK", "name": "Socks", "quantity": 1, "unit_amount": 1250, "amount_total": 1250},
]


class Purchase:
    """Builds the events of one checkout of 57.38 EUR. `again` makes a second Event object of the same change."""

    def __init__(self, checkout_id: str) -> None:
        self.checkout_id = checkout_id
        self.session_id = f"cs_{checkout_id}"
        self.intent = f"pi_{checkout_id}"
        self.charge = f"ch_{checkout_id}"

    def started(self, again: str = "", **changes: Any) -> Event:
        data = {
            "checkout_id": self.checkout_id,
            "session_id": self.session_id,
            "livemode": False,
            "currency": "eur",
            **AMOUNTS,
            "expires_at": NOW + timedelta(minutes=30),
            "lines": LINES,
            **changes,
        }
        return self._own("checkout.checkout.started", data, again)

    def canceled(self, again: str = "") -> Event:
        data = {"checkout_id": self.checkout_id, "session_id": self.session_id}
        return self._own("checkout.checkout.canceled", data, again)

    def oversold(self, again: str = "") -> Event:
        lines = [{"sku": "TEE-M", "quantity": 2, "missing": 1}]
        return self._own("inventory.reservation.oversold", {"checkout_id": self.checkout_id, "lines": lines}, again)

    def completed(self, again: str = "", **changes: Any) -> Event:
        return self.session("completed", again, **changes)

    def unpaid(self, again: str = "") -> Event:
        return self.session("completed", f"unpaid{again}", payment_status="unpaid")

    def async_succeeded(self, again: str = "") -> Event:
        return self.session("async_payment_succeeded", again)

    def async_failed(self, again: str = "") -> Event:
        return self.session("async_payment_failed", again, payment_status="unpaid")

    def expired(self, again: str = "", **changes: Any) -> Event:
        recovery = {"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/test_1"}}
        ended = {"status": "expired", "payment_status": "unpaid", "payment_intent": None, "customer_details": None}
        return self.session("expired", again, after_expiration=recovery, **{**ended, **changes})

    def session(self, kind: str, again: str = "", **changes: Any) -> Event:
        obj = checkout_session(
            self.checkout_id, **{"id": self.session_id, "payment_intent": self.intent, "expires_at": 0} | changes
        )
        return self.stripe(f"checkout.session.{kind}", obj, again)

    def intent_succeeded(self, again: str = "") -> Event:
        obj = payment_intent(self.checkout_id, id=self.intent, latest_charge=self.charge)
        return self.stripe("payment_intent.succeeded", obj, again)

    def intent_failed(self, again: str = "", charge_id: str = "ch_declined") -> Event:
        error = {"charge": charge_id, "code": "card_declined", "decline_code": "do_not_honor", "message": "Declined."}
        obj = payment_intent(
            self.checkout_id, id=self.intent, status="requires_payment_method", last_payment_error=error
        )
        return self.stripe("payment_intent.payment_failed", obj, again)

    def charge_succeeded(self, again: str = "") -> Event:
        obj = charge(self.checkout_id, id=self.charge, payment_intent=self.intent)
        return self.stripe("charge.succeeded", obj, again)

    def charge_refunded(self, again: str = "", **changes: Any) -> Event:
        obj = charge(self.checkout_id, **{"id": self.charge, "payment_intent": self.intent} | changes)
        return self.stripe("charge.refunded", obj, again)

    def refund(self, refund_id: str, amount: int, status: str = "succeeded", **more: Any) -> Event:
        """A refund of this purchase's payment, made in the dashboard unless its `metadata` say otherwise."""
        kind, again = more.pop("kind", "created"), more.pop("again", "")
        changes = {"id": refund_id, "amount": amount, "status": status, "payment_intent": self.intent, **more}
        return self.stripe(f"refund.{kind}", refund(**changes), f"{status}{again}")

    def dispute(self, kind: str = "created", status: str = "needs_response", again: str = "", **more: Any) -> Event:
        changes = {"id": f"dp_{self.checkout_id}", "status": status, "payment_intent": self.intent, **more}
        return self.stripe(f"charge.dispute.{kind}", dispute(**changes), f"{status}{again}")

    def stripe(self, kind: str, obj: dict[str, Any], again: str = "", **changes: Any) -> Event:
        event_id = f"evt_{self.checkout_id}_{obj['id']}_{kind}_{again}"
        created = int(NOW.timestamp())
        return as_bus_event(stripe_event(kind, obj, event_id=event_id, created=created, **changes))

    def _own(self, kind: str, data: dict[str, Any], again: str) -> Event:
        event_id = f"evt_{self.checkout_id}_{kind}_{again}"
        return own_event(kind, data, correlation_id=self.checkout_id, occurred_at=NOW, event_id=event_id)


class Desk:
    """Delivers events to the orders, and reads what they made of them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def tell(self, *events: Event) -> list[str]:
        return [deliver(self.database, handlers, event) for event in events]

    def settle(self) -> None:
        """Retry what waits, as if its time had come."""
        Runner(self.database, handlers).retry_due(NOW + LONG_AFTER)

    def order(self, checkout_id: str = "chk_1") -> Order:
        with self.database.read() as session:
            order_id = session.scalars(select(Order.id).where(Order.checkout_id == checkout_id)).one()
            order = search.find_with_details(session, order_id)
        assert order is not None
        return order

    def published(self, checkout_id: str = "chk_1") -> list[Event]:
        statement = select(OutboxEvent).where(OutboxEvent.correlation_id == checkout_id)
        with self.database.read() as session:
            return [row.event() for row in session.scalars(statement.order_by(OutboxEvent.event_id))]

    def types(self, checkout_id: str = "chk_1") -> list[str]:
        return [event.type for event in self.published(checkout_id)]

    def timeline(self, checkout_id: str = "chk_1") -> list[str]:
        return [entry.kind for entry in self.order(checkout_id).timeline]

    def story(self, checkout_id: str = "chk_1") -> list[str]:
        return [entry.text for entry in self.order(checkout_id).timeline]

    def unhandled(self) -> list[str]:
        """Events that neither succeeded nor were ignored, with their errors."""
        statement = select(InboxEvent).where(InboxEvent.status.not_in(("done", "ignored")))
        with self.database.read() as session:
            return [f"{row.event_id}: {row.status}: {row.error}" for row in session.scalars(statement)]


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


@pytest.fixture
def config() -> Config:
    return Config(
        service="orders",
        port=0,
        broker_url="memory://",
        operator_tokens={"ana": "operator-token-of-ana"},
        stripe_api_key="sk_test_made_up",
        allowed_origins=["https://shop.example"],
    )


@pytest.fixture
def client(config: Config, database: Database) -> FlaskClient:
    return create_app(config, database=database).test_client()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def desk_on() -> Callable[[Database], Desk]:
    return Desk


@pytest.fixture
def purchase() -> Callable[[str], Purchase]:
    return Purchase


@pytest.fixture
def bought() -> Purchase:
    """The purchase of checkout chk_1."""
    return Purchase("chk_1")
