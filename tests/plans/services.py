"""The services as production wires them, on one big database each, and everything that reads their tables.

Stripe, inventory and the mail server are closed ports: the jobs read, claim and record that they get no answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import checkout.app
import checkout.chains
import checkout.config
import checkout.handlers
import checkout.worker
import inventory.app
import inventory.chains
import inventory.config
import inventory.handlers
import inventory.worker
import notifications.app
import notifications.chains
import notifications.config
import notifications.worker
import orders.app
import orders.chains
import orders.config
import orders.handlers
import orders.worker
from checkout.inventory_client import InventoryClient
from checkout.stripe_sessions import StripeSessions
from events.clock import utcnow
from events.database.engine import Database
from events.database.migrations import Chain
from events.messaging import outbox
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.bus import deliver
from events.testing.stripe import as_bus_event, checkout_session, dispute, refund, stripe_event
from flask import Flask
from notifications.handlers import create_handlers
from orders import erasure
from orders.erasure import ErasureRequest
from orders.reconciliation.run import Reconciliation
from orders.reconciliation.stripe import Intent, StripeRecords
from orders.stripe_objects import StripeObject

CLOSED = "http://127.0.0.1:1"
TOKEN = "operator-token-of-ana"
SERVICE_TOKEN = "service-token-of-plans"
COMMON: Mapping[str, Any] = {
    "port": 0,
    "broker_url": "memory://",
    "operator_tokens": {"ana": TOKEN},
}
OLDEST = "2020-01-01T00:00:00Z"
# Filters of every inbox. Each value is in a few old rows only, or in very many.
INBOX_LISTS = (
    "/ops/inbox",
    *(f"/ops/inbox?status={status}" for status in ("waiting", "failed", "discarded", "ignored", "done")),
    "/ops/inbox?type=charge.failed",
    "/ops/inbox?type=charge.succeeded",
    "/ops/inbox?correlation_id=chk_000000000001",
    "/ops/inbox?error=KeyError",
    f"/ops/inbox?received_from={OLDEST}",
    f"/ops/inbox?received_to={OLDEST}",
    "/ops/inbox/audit",
    "/ops/inbox/audit?event_id=evt_000000000001",
    "/ops/inbox/evt_000000000001",
    "/metrics",
    "/readyz",
)
Posts = Sequence[tuple[str, dict[str, Any]]]
INBOX_POSTS: Posts = (
    ("/ops/inbox/retry", {"status": "failed", "limit": 10, "dry_run": True, "reason": "plans"}),
    ("/ops/inbox/discard", {"error": "KeyError", "limit": 2, "reason": "plans"}),
)


@dataclass(frozen=True)
class Service:
    """One service: its chains, its app and worker on a database, and the routes, events and commands to run."""

    name: str
    chains: Sequence[Chain]
    app: Callable[[Database], Flask]
    worker: Callable[[Database], Worker]
    handlers: Handlers
    lists: Sequence[str]
    events: Callable[[], Iterator[Event]]
    posts: Posts = ()
    commands: Mapping[str, Callable[[Database], object]] = field(default_factory=dict)

    def deliver(self, database: Database, event: Event) -> str:
        """Handle one event as the consumer does, and return its outcome."""
        return deliver(database, self.handlers, event)


def checkout_events(kinds: Sequence[str] = ("completed", "expired")) -> Iterator[Event]:
    """Yield Stripe's events about old and new sessions."""
    for number, kind in enumerate(kinds, 1):
        session = checkout_session(f"chk_{number:012}", id=f"cs_{number:012}", payment_intent=f"pi_{number:012}")
        yield as_bus_event(stripe_event(f"checkout.session.{kind}", session, event_id=f"evt_plan_{kind}"))


def order_events() -> Iterator[Event]:
    """Yield events about old orders: of sessions, refunds and disputes, which name only their payment."""
    yield from checkout_events(("completed", "async_payment_succeeded", "async_payment_failed", "expired"))
    paid = {"payment_intent": "pi_000000000003"}
    yield as_bus_event(stripe_event("refund.created", refund(id="re_plan", amount=1, **paid), event_id="evt_plan_re"))
    opened = dispute(id="dp_plan", **paid)
    yield as_bus_event(stripe_event("charge.dispute.created", opened, event_id="evt_plan_dp"))
    stray = refund(id="re_stray", amount=1, payment_intent="pi_of_another_shop")
    yield as_bus_event(stripe_event("refund.created", stray, event_id="evt_plan_stray"))


def erased_event() -> Iterator[Event]:
    """Yield the erasure of one customer."""
    data = {"order_id": "ord_1", "checkout_id": "chk_000000000007", "erased_at": utcnow()}
    yield own_event("orders.customer.erased", data, correlation_id="chk_000000000007")


class Records(StripeRecords):
    """Stripe's objects for a reconciliation: one session, one refund and one dispute of old orders."""

    def __init__(self) -> None: ...

    def sessions(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        session = checkout_session("chk_000000000009", id="cs_000000000009", payment_intent="pi_000000000009")
        yield {**session, "created": int(since.timestamp())}

    def session(self, session_id: str) -> StripeObject | None:
        return None

    def intents(self, since: datetime, until: datetime | None = None) -> Iterator[Intent]:
        return iter(())

    def intent(self, intent_id: str) -> Intent:
        return Intent(intent_id, None, "requires_payment_method", 0, "eur", 0)

    def refunds(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        yield {**refund(id="re_new", amount=1, payment_intent="pi_000000000009"), "created": int(since.timestamp())}

    def refund(self, refund_id: str) -> StripeObject | None:
        return next(self.refunds(utcnow() - timedelta(days=1))) if refund_id == "re_new" else None

    def disputes(self, since: datetime, until: datetime | None = None) -> Iterator[StripeObject]:
        yield {**dispute(id="dp_new", payment_intent="pi_000000000009"), "created": int(since.timestamp())}

    def dispute(self, dispute_id: str) -> StripeObject | None:
        return next(self.disputes(utcnow() - timedelta(days=1))) if dispute_id == "dp_new" else None


def reconcile(database: Database) -> object:
    """Compare the last minutes with Stripe."""
    return list(Reconciliation(database, Records(), utcnow() - timedelta(minutes=10)).differences())


def republish(database: Database) -> object:
    """Mark the events of the last minutes as unpublished, after counting them."""
    since = utcnow() - timedelta(minutes=10)
    with database.read() as session:
        outbox.published_since(session, since)
    return outbox.republish(database, since)


def erase(database: Database) -> object:
    """Erase a customer from the first two of their orders."""
    found = erasure.find_by_email(database, "c7@shop.example")[:2]
    return [erasure.erase_customer(database, order, ErasureRequest("plans", even_open=True)) for order in found]


def _config(module: ModuleType, **values: Any) -> Any:
    service = module.__name__.partition(".")[0]
    return module.Config(**{**COMMON, "service": service, "database_url": "unused", **values})


ORDERS = _config(
    orders.config, stripe_api_key="sk_test_1", stripe_api_base=CLOSED, livemode=False, review_auto_refund=("oversold",)
)
CHECKOUT = _config(
    checkout.config,
    service_token=SERVICE_TOKEN,
    stripe_api_key="sk_test_1",
    stripe_api_base=CLOSED,
    livemode=False,
    inventory_url=CLOSED,
    shop_url="https://shop.example",
)
INVENTORY = _config(inventory.config, service_token=SERVICE_TOKEN, low_stock_threshold=5)
NOTIFICATIONS = _config(
    notifications.config,
    smtp_url="smtp://127.0.0.1:1",
    mail_from="Clozit <orders@shop.example>",
    staff_email="staff@shop.example",
    shop_url="https://shop.example",
)


def _checkout_worker(database: Database) -> Worker:
    stripe = StripeSessions(CHECKOUT.stripe_api_key, CLOSED, retries=0)
    client = InventoryClient(CLOSED, SERVICE_TOKEN)
    return checkout.worker.create_worker(CHECKOUT, database=database, stripe=stripe, inventory=client)


def _inventory_worker(database: Database) -> Worker:
    """Return a worker whose queue is empty: before that is known, it expires no reservation."""
    worker = inventory.worker.create_worker(INVENTORY, database=database)
    worker.consumer.progress.handled_until = utcnow()
    return worker


SERVICES = {
    service.name: service
    for service in (
        Service(
            "orders",
            orders.chains.CHAINS,
            lambda database: orders.app.create_app(ORDERS, database=database),
            lambda database: orders.worker.create_worker(ORDERS, database=database),
            orders.handlers.handlers,
            (
                "/orders",
                *(
                    f"/orders?status={status}"
                    for status in ("open", "payment_pending", "paid", "payment_failed", "expired", "canceled")
                ),
                "/orders?number=cl-00000001",
                "/orders?checkout_id=chk_000000000001",
                "/orders?email=C1@shop.example",
                "/orders?session_id=cs_000000000001",
                "/orders?payment_intent=pi_000000000001",
                "/orders?needs_review=true",
                "/orders?needs_review=false",
                *(f"/orders?refund_status={status}" for status in ("none", "partial", "full")),
                *(f"/orders?dispute_status={status}" for status in ("none", "inquiry", "open", "won", "lost")),
                *(
                    f"/orders?fulfillment_status={status}"
                    for status in ("unfulfilled", "partial", "fulfilled", "canceled")
                ),
                "/orders?to_ship=true",
                "/orders?to_ship=false",
                f"/orders?created_from={OLDEST}",
                "/orders?created_to={old}",
                "/orders?status=paid&created_to={old}",
                "/orders/ord_000000000001",
                "/orders/by-session/cs_000000000001",
                "/disputes",
                "/disputes?open=false",
            ),
            order_events,
            commands={"reconcile": reconcile, "outbox republish": republish, "erase-customer": erase},
        ),
        Service(
            "checkout",
            checkout.chains.CHAINS,
            lambda database: checkout.app.create_app(CHECKOUT, database=database),
            _checkout_worker,
            checkout.handlers.handlers,
            (
                "/products?currency=eur",
                "/products?currency=usd",  # few products
                "/products?currency=chf",  # none
                "/shipping-options?currency=eur",
                "/checkout/sessions/chk_000000000001",
                *(f"/checkouts?status={status}" for status in ("new", "open", "complete", "expired", "canceled")),
                "/checkouts?status=complete&payment_status=pending",
                "/checkouts?status=complete&payment_status=failed",
                "/checkouts?status=complete&payment_status=paid",
                "/checkouts?status=complete&customer_email=c1@shop.example",
                "/checkouts?status=complete&discount_code=CODE-1",
                "/checkouts?status=complete&sku=SKU-1",
                f"/checkouts?status=complete&client_key={'a' * 64}",
                "/catalog/discounts",
                "/catalog/discounts/CODE-1",
            ),
            lambda: (event for each in (checkout_events(), erased_event()) for event in each),
            posts=(
                (
                    "/checkout/sessions",
                    {
                        "items": [{"sku": "SKU-000000000001", "quantity": 1}],
                        "currency": "eur",
                        "customer_email": "c1@shop.example",
                        "discount_code": "CODE-1",
                    },
                ),
            ),
            commands={"outbox republish": republish},
        ),
        Service(
            "inventory",
            inventory.chains.CHAINS,
            lambda database: inventory.app.create_app(INVENTORY, database=database),
            _inventory_worker,
            inventory.handlers.handlers,
            (
                "/availability",
                "/availability?sku=SKU-1&sku=SKU-2",
                "/stock",
                "/stock/SKU-1",
                "/stock/SKU-1/movements",
                "/reservations",
                *(f"/reservations?status={status}" for status in ("held", "committed", "released", "expired")),
                "/reservations?sku=SKU-1",
                "/reservations?pending=true",
                "/reservations?pending=false",
                "/reservations?expires_before={old}",
                "/reservations?status=committed&expires_before={old}",
            ),
            checkout_events,
            commands={"outbox republish": republish},
        ),
        Service(
            "notifications",
            notifications.chains.CHAINS,
            lambda database: notifications.app.create_app(NOTIFICATIONS, database=database),
            lambda database: notifications.worker.create_worker(NOTIFICATIONS, database=database),
            create_handlers(),
            (
                "/notifications",
                *(
                    f"/notifications?status={status}"
                    for status in ("pending", "sending", "sent", "failed", "suppressed", "collected", "unknown")
                ),
                "/notifications?kind=refund_succeeded",
                "/notifications?kind=order_confirmed",
                "/notifications?checkout_id=chk_000000000001",
                "/notifications?recipient=c1@shop.example",
                "/notifications?digest_id=eml_000000000021",
                "/notifications?error=no+such+user",
                f"/notifications?created_from={OLDEST}",
                "/notifications?created_to={old}",
                "/notifications?status=sent&created_to={old}",
                "/unsubscribe/unknown",
            ),
            erased_event,
            posts=(("/notifications/resend", {"status": "failed", "dry_run": True}),),
        ),
    )
}
