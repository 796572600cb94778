"""The orders service under test: it gets events through the real runner. Only Stripe's refunds are faked."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from events.database.engine import Database
from events.messaging.event import Event, own_event
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import Runner
from events.testing.bus import deliver
from events.testing.stripe import as_bus_event, charge, checkout_session, dispute, payment_intent, refund, stripe_event
from flask.testing import FlaskClient
from orders import search
from orders.handlers import handlers
from orders.models.orders import Order
from orders.models.refunds import RefundRequest
from orders.refunds.gateway import RefundGateway
from orders.stripe_objects import StripeObject
from sqlalchemy import select

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
BATCH_SIZE = 100  # events, as a consumer takes them
LONG_AFTER = timedelta(days=400)  # later than any scheduled retry
AMOUNTS = {"amount_subtotal": 5248, "amount_discount": 0, "amount_shipping": 490, "amount_total": 5738}
LINES = [
    {"sku": "TEE-M", "name": "Tee, M", "quantity": 2, "unit_amount": 1999, "amount_total": 3998},
    {"sku": "SOCK", "name": "Socks", "quantity": 1, "unit_amount": 1250, "amount_total": 1250},
]
OPERATOR = {"Authorization": "Bearer operator-token-of-ana"}


class Purchase:
    """A builder of the events of one checkout of 57.38 EUR. `again` makes another event about the same change."""

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

    def oversold(self, again: str = "", *, missing: int = 1, return_id: str | None = None) -> Event:
        lines = [{"sku": "TEE-M", "quantity": 2, "missing": missing}]
        data = {"checkout_id": self.checkout_id, "lines": lines, "return_id": return_id}
        return self._own("inventory.reservation.oversold", data, again)

    def completed(self, again: str = "", **changes: Any) -> Event:
        return self.session("completed", again, **changes)

    def unpaid(self, again: str = "") -> Event:
        return self.session("completed", f"unpaid{again}", payment_status="unpaid")

    def unknown_status(self, again: str = "") -> Event:
        return self.session("completed", f"unknown{again}", payment_status="paid_by_barter")

    def async_succeeded(self, again: str = "") -> Event:
        return self.session("async_payment_succeeded", again)

    def async_failed(self, again: str = "") -> Event:
        return self.session("async_payment_failed", again, payment_status="unpaid")

    def expired(self, again: str = "", **changes: Any) -> Event:
        recovery = {"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/test_1"}}
        ended = {"status": "expired", "payment_status": "unpaid", "payment_intent": None, "customer_details": None}
        return self.session("expired", again, after_expiration=recovery, **{**ended, **changes})

    def session(self, kind: str, again: str = "", **changes: Any) -> Event:
        ids = {"id": self.session_id, "payment_intent": self.intent, "expires_at": int(NOW.timestamp()) + 1800}
        return self.stripe(f"checkout.session.{kind}", checkout_session(self.checkout_id, **ids | changes), again)

    def intent_succeeded(self, again: str = "") -> Event:
        obj = payment_intent(self.checkout_id, id=self.intent, latest_charge=self.charge)
        return self.stripe("payment_intent.succeeded", obj, again)

    def intent_failed(self, again: str = "", charge_id: str = "ch_declined") -> Event:
        error = {"charge": charge_id, "code": "card_declined", "decline_code": "do_not_honor", "message": "Declined."}
        obj = payment_intent(
            self.checkout_id, id=self.intent, status="requires_payment_method", last_payment_error=error
        )
        return self.stripe("payment_intent.payment_failed", obj, again)

    def committed(self, again: str = "") -> Event:
        return self._own("inventory.reservation.committed", {"checkout_id": self.checkout_id}, again)

    def doubted(self, again: str = "") -> Event:
        return self._own("inventory.reservation.doubted", {"checkout_id": self.checkout_id}, again)

    def requires_action(self, action: dict[str, Any], again: str = "") -> Event:
        obj = payment_intent(self.checkout_id, id=self.intent, status="requires_action", next_action=action)
        return self.stripe("payment_intent.requires_action", obj, again)

    def charge_succeeded(self, again: str = "") -> Event:
        obj = charge(self.checkout_id, id=self.charge, payment_intent=self.intent)
        return self.stripe("charge.succeeded", obj, again)

    def charge_pending(self, method: str) -> Event:
        ids = {"id": self.charge, "payment_intent": self.intent, "status": "pending", "paid": False}
        return self.stripe("charge.pending", charge(self.checkout_id, payment_method_details={"type": method}, **ids))

    def charge_refunded(self, again: str = "", **changes: Any) -> Event:
        ids = {"id": self.charge, "payment_intent": self.intent}
        return self.stripe("charge.refunded", charge(self.checkout_id, **ids | changes), again)

    def refund(self, refund_id: str, amount: int, status: str = "succeeded", **more: Any) -> Event:
        """Return a refund event of this payment, made in Stripe's dashboard unless `metadata` says otherwise."""
        kind, again, after = more.pop("kind", "created"), more.pop("again", ""), more.pop("after", 0)
        changes = {"id": refund_id, "amount": amount, "status": status, "payment_intent": self.intent, **more}
        return self.stripe(f"refund.{kind}", refund(**changes), f"{status}{again}", after)

    def dispute(self, kind: str = "created", status: str = "needs_response", again: str = "", **more: Any) -> Event:
        after = more.pop("after", 0)
        changes = {"id": f"dp_{self.checkout_id}", "status": status, "payment_intent": self.intent, **more}
        return self.stripe(f"charge.dispute.{kind}", dispute(**changes), f"{status}{again}", after)

    def radar_review(self, kind: str = "opened", again: str = "", **changes: Any) -> Event:
        ids = {"id": f"prv_{self.checkout_id}", "object": "review", "payment_intent": self.intent}
        state = {"open": kind == "opened", "opened_reason": "rule", "closed_reason": None, "ip_address": "192.0.2.1"}
        return self.stripe(f"review.{kind}", {**ids, **state, **changes}, again)

    def fraud_warning(self, again: str = "", **changes: Any) -> Event:
        ids = {"id": f"issfr_{self.checkout_id}", "object": "radar.early_fraud_warning", "payment_intent": self.intent}
        kind = {"actionable": True, "fraud_type": "made_with_stolen_card"}
        return self.stripe("radar.early_fraud_warning.created", {**ids, **kind, **changes}, again)

    def stripe(self, kind: str, obj: StripeObject, again: str = "", after: int = 0, **changes: Any) -> Event:
        """Return an event about an object, `after` so many seconds."""
        event_id = f"evt_{self.checkout_id}_{obj['id']}_{kind}_{again}"
        created = int(NOW.timestamp()) + after
        return as_bus_event(stripe_event(kind, obj, event_id=event_id, created=created, **changes))

    def named(self, name: str, again: str = "") -> Event:
        """Return the event that the method `name` builds."""
        event: Event = getattr(self, name)(again)
        return event

    def _own(self, kind: str, data: dict[str, Any], again: str) -> Event:
        event_id = f"evt_{self.checkout_id}_{kind}_{again}"
        return own_event(kind, data, correlation_id=self.checkout_id, occurred_at=NOW, event_id=event_id)


class OrdersService:
    """The service's handlers on a database. It delivers events and reads the results."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def deliver(self, *events: Event) -> list[str]:
        """Deliver events one by one and return their outcomes."""
        return [deliver(self.database, handlers, event) for event in events]

    def deliver_together(self, *events: Event) -> None:
        """Deliver events with many in a transaction. `unfinished` returns those that failed."""
        for start in range(0, len(events), BATCH_SIZE):
            Runner(self.database, handlers).handle(events[start : start + BATCH_SIZE])

    def retry_waiting(self) -> None:
        """Retry all waiting and retrying events, as if they were due."""
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

    def published_types(self, checkout_id: str = "chk_1") -> list[str]:
        return [event.type for event in self.published(checkout_id)]

    def data_of(self, event_type: str) -> list[dict[str, Any]]:
        """Return the data of the published events of a type."""
        return [event.data for event in self.published() if event.type == event_type]

    def returned_lines(self) -> list[Any]:
        """Return the lines of each return to the stock."""
        return [data["lines"] for data in self.data_of("orders.stock.returned")]

    def entry_kinds(self, checkout_id: str = "chk_1") -> list[str]:
        return [entry.kind for entry in self.order(checkout_id).timeline]

    def entry_texts(self, checkout_id: str = "chk_1") -> list[str]:
        return [entry.text for entry in self.order(checkout_id).timeline]

    def unfinished(self) -> list[str]:
        """Return the events that neither succeeded nor were ignored, with their errors."""
        statement = select(InboxEvent).where(InboxEvent.status.not_in(("done", "ignored")))
        with self.database.read() as session:
            return [f"{row.event_id}: {row.status}: {row.error}" for row in session.scalars(statement)]


class FakeRefundGateway(RefundGateway):
    """A Stripe in memory. The next calls raise `errors`, with `errors_after_effect` after they made the refund."""

    def __init__(self, prefix: str = "re_") -> None:
        self.prefix = prefix
        self.refunds: dict[str, StripeObject] = {}  # by idempotency key
        self.errors: list[BaseException] = []
        self.errors_after_effect = False
        self.keeps_keys = True
        self.request_ids: list[str] = []  # one for each call to create
        self.status = "succeeded"
        self.lines_by_session: dict[str, list[StripeObject]] = {}
        self.line_errors: list[Exception] = []
        self._lock = threading.Lock()

    def create(self, request: RefundRequest) -> StripeObject:
        with self._lock:
            self.request_ids.append(request.id)
            if self.errors and not self.errors_after_effect:
                raise self.errors.pop(0)
            key = request.id if self.keeps_keys else f"{request.id}-{len(self.request_ids)}"
            made = self.refunds.setdefault(key, self._refund(request))
            if self.errors:
                raise self.errors.pop(0)
            return made

    def line_items(self, session_id: str) -> list[StripeObject]:
        if self.line_errors:
            raise self.line_errors.pop(0)
        return self.lines_by_session.get(session_id, [])

    def find(self, request: RefundRequest) -> StripeObject | None:
        made = self.refunds.values()
        return next((refund for refund in made if refund["metadata"]["refund_request"] == request.id), None)

    def list_of_payment(self, payment_id: str) -> Sequence[StripeObject]:
        return [refund for refund in self.refunds.values() if refund["payment_intent"] == payment_id]

    @property
    def last_refund(self) -> StripeObject:
        return list(self.refunds.values())[-1]

    def _refund(self, request: RefundRequest) -> StripeObject:
        return refund(
            id=f"{self.prefix}{len(self.refunds) + 1}",
            amount=request.amount,
            currency=request.currency,
            metadata={"checkout_id": request.checkout_id, "refund_request": request.id},
            payment_intent=request.payment_id,
            reason=request.reason,
            status=self.status,
        )


def post(client: FlaskClient, service: OrdersService, action: str, key: str | None = None, **body: Any) -> Any:
    """Send an operator's request about checkout chk_1's order and return the response. An empty body is all of it.

    Without a key, the request has a new one. An empty key is none.
    """
    if action in ("shipments", "refunds") and not body.keys() & {"all", "amount", "lines"}:
        body["all"] = True
    key = f"key-{uuid4()}" if key is None else key
    headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
    return client.post(f"/orders/{service.order().id}/{action}", json=body, headers=headers)


def problem_of(response: Any) -> tuple[int, str]:
    """Return a response's status and its problem's type."""
    return response.status_code, response.get_json()["type"].removeprefix("urn:clozit:problem:")
