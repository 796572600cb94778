"""A shop that sells at the fake Stripe, and the differences that a run of `reconcile` finds."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe
from click.testing import Result
from events.database.engine import Database
from events.messaging.event import own_event
from events.testing.bus import Bus, deliver
from events.testing.stripe import as_bus_event
from orders.handlers import handlers
from orders.models.base import Base
from orders.models.orders import Order
from sqlalchemy import select, update

from demo.fake_stripe.server import FakeStripe

HOUR = 3600
PRICE = 1999
Reconcile = Callable[..., Result]


class Shop:
    """A shop that sells at the fake Stripe, whose webhooks are delivered only on request."""

    def __init__(self, fake: FakeStripe, client: stripe.StripeClient, database: Database) -> None:
        self.fake, self.client, self.database = fake, client, database

    def start(self, checkout_id: str, *, starts_order: bool = True, ours: bool = True) -> str:
        """Create a session, and its order if `checkout.checkout.started` is delivered; return the session's id."""
        metadata = {"checkout_id": checkout_id} if ours else {}
        price: Any = {"currency": "eur", "unit_amount": PRICE, "product_data": {"name": "Tee"}}
        session = self.client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/thanks",
                "metadata": metadata,
                "payment_intent_data": {"metadata": metadata},
                "after_expiration": {"recovery": {"enabled": True}},
            }
        )
        if starts_order and ours:
            self._start_order(checkout_id, session.id)
        return session.id

    def buy(self, checkout_id: str, method: str = "card", **options: bool) -> str:
        session_id = self.start(checkout_id, **options)
        self.fake.pay(session_id, method)
        return session_id

    def deliver_webhooks(self, pattern: str = "*") -> None:
        """Deliver the webhooks of these types."""
        for event in self.fake.events(pattern):
            deliver(self.database, handlers, as_bus_event(event))

    def order(self, checkout_id: str) -> Order:
        with self.database.read() as session:
            return session.scalars(select(Order).where(Order.checkout_id == checkout_id)).one()

    def status(self, checkout_id: str) -> str:
        return self.order(checkout_id).status

    def run_workers(self) -> None:
        """Publish the outbox and handle all events."""
        Bus({"orders": (self.database, handlers)}).run_until_idle()

    def confirm_stock(self, checkout_id: str) -> None:
        """Deliver inventory's event that it took the stock."""
        data = {"checkout_id": checkout_id}
        deliver(self.database, handlers, own_event("inventory.reservation.committed", data, correlation_id=checkout_id))

    def change(self, model: type[Base], **values: Any) -> None:
        """Change the rows of a table."""
        with self.database.begin() as session:
            session.execute(update(model).values(**values))

    def _start_order(self, checkout_id: str, session_id: str) -> None:
        amounts = {"amount_subtotal": PRICE, "amount_discount": 0, "amount_shipping": 0, "amount_total": PRICE}
        line = {"sku": "TEE", "name": "Tee", "quantity": 1, "unit_amount": PRICE, "amount_total": PRICE}
        now = datetime.now(UTC)
        data = {
            "checkout_id": checkout_id,
            "session_id": session_id,
            "livemode": False,
            "currency": "eur",
            **amounts,
            "expires_at": now + timedelta(hours=1),
            "lines": [line],
        }
        deliver(self.database, handlers, own_event("checkout.checkout.started", data, correlation_id=checkout_id))


def kinds(result: Result) -> list[str]:
    return [difference["kind"] for difference in json.loads(result.stdout)["differences"]]


def refund(shop: Shop, session_id: str, amount: int) -> str:
    """Refund as in Stripe's dashboard, and return the refund's id."""
    intent = shop.fake.session(session_id)["payment_intent"]
    return shop.client.v1.refunds.create({"payment_intent": intent, "amount": amount}).id
