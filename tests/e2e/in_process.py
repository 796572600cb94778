"""Checkout, inventory and orders in one thread, with the real topology, the demo's fake Stripe and one clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import checkout.app
import checkout.chains
import httpx
import inventory.app
import inventory.chains
import inventory.config
import orders.app
import orders.chains
import orders.config
import stripe
from checkout import catalog
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.creation import CheckoutRequest
from checkout.handlers import handlers as checkout_handlers
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout, DiscountUse
from checkout.pricing import Item
from checkout.stripe_sessions import StripeSessions
from checkout.sweeper import Sweeper
from events import stripe_api
from events.testing.bus import Bus
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event
from flask.testing import FlaskClient
from inventory import ledger, reservations
from inventory.handlers import handlers as inventory_handlers
from inventory.models import Reservation, StockItem
from orders.handlers import handlers as orders_handlers
from orders.models.orders import Order
from orders.refunds.gateway import RefundGateway

from demo.fake_stripe.account import Account
from demo.fake_stripe.account import Config as StripeConfig
from demo.fake_stripe.app import create_app as create_stripe

SERVICE_TOKEN = "service-token-of-tests"
OPERATOR_TOKEN = "operator-token-0123"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


class InProcessClient(stripe.HTTPClient):
    """The SDK's HTTP client for a fake Stripe that is a WSGI application in this process."""

    name = "in-process"

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._http = app.test_client()
        self.lost_answer_of = ""  # the path whose next answer gets lost on its way to us

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        path = url.removeprefix("https://stripe.test")
        answer = self._http.open(path, method=method.upper(), headers=headers, data=post_data)
        if path == self.lost_answer_of:
            self.lost_answer_of = ""
            raise stripe.APIConnectionError("the answer got lost")
        return answer.get_data(as_text=True), answer.status_code, dict(answer.headers)


class Shop:
    """Checkout, inventory and orders with a fake Stripe, in one thread and with one clock."""

    def __init__(self, make: MakeDatabase, **settings: Any) -> None:
        """Start all services with new databases. `settings` are checkout's, where they differ from the defaults."""
        self.databases = {
            "checkout": make(checkout.chains.CHAINS),
            "inventory": make(inventory.chains.CHAINS),
            "orders": make(orders.chains.CHAINS),
        }
        now = datetime.now(UTC).timestamp()
        self.account = Account(StripeConfig(time_source=lambda: now, followup_delay=0), "https://stripe.test")
        app = create_stripe(self.account)
        self.stripe_http = InProcessClient(app)
        self.stripe = StripeSessions("sk_test_1", "https://stripe.test", http_client=self.stripe_http, retries=0)
        self.control = app.test_client()
        self.inventory = self._inventory()
        self.config = Config(
            service="checkout", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": OPERATOR_TOKEN}, service_token=SERVICE_TOKEN, stripe_api_key="sk_test_1",
            livemode=False, inventory_url="http://inventory.test", shop_url="https://shop.test",
            **{"shipping_countries": ("DE",)} | settings,
        )  # fmt: skip
        self.checkouts = Checkouts(self.config, self.databases["checkout"], self.stripe, self.inventory, self.now)
        self.web = checkout.app.create_app(
            self.config, database=self.databases["checkout"], stripe=self.stripe, inventory=self.inventory
        ).test_client()
        self.sweeper = Sweeper(self.databases["checkout"], self.stripe, self.inventory)
        handlers = {"checkout": checkout_handlers, "inventory": inventory_handlers, "orders": orders_handlers}
        self.bus = Bus({name: (self.databases[name], handlers[name]) for name in self.databases})
        self.delivered: set[str] = set()

    def _inventory(self) -> InventoryClient:
        config = inventory.config.Config(
            service="inventory", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": OPERATOR_TOKEN}, service_token=SERVICE_TOKEN,
        )  # fmt: skip
        app = inventory.app.create_app(config, database=self.databases["inventory"])
        self.inventory_api = app.test_client()
        return InventoryClient("http://inventory.test", SERVICE_TOKEN, httpx.WSGITransport(app))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.account.now(), UTC)

    def seed(self, **pieces: int) -> None:
        products = [{"sku": sku, "group": "G", "name": sku, "prices": {"eur": 1999}} for sku in pieces]
        discount = {"code": "ONCE", "percent_off": 10, "limit_total": 1}
        catalog.seed(self.databases["checkout"], {"products": products, "discounts": [discount]})
        stock = [{"sku": sku, "stock": count} for sku, count in pieces.items()]
        ledger.seed(self.databases["inventory"], {"products": stock})

    def start(self, key: str = "key", pieces: int = 1, *, sku: str = "TEE", **request: Any) -> Checkout:
        return self.checkouts.start(CheckoutRequest(items=[Item(sku, pieces)], **request), key)

    def at_stripe(self, action: str, started: Checkout, **values: Any) -> None:
        """Do what the customer or the bank does at Stripe, such as `pay` or `expire`."""
        answer = self.control.post(f"/_control/{action}", json={"session_id": started.session_id, **values})
        assert answer.status_code == 200, answer.text

    def deliver_events(self, *, losing: str = "") -> None:
        """Deliver all new events of Stripe twice, the newest first, but none of the type `losing`."""
        new = [event for event in self.account.store.all("event") if event["id"] not in self.delivered]
        self.delivered |= {event["id"] for event in new}
        arrival = {"received_at": self.now().isoformat()}  # as the ingest stamps it
        for event in [as_bus_event(event) for event in new if event["type"] != losing] * 2:
            self.bus.publish(replace(event, headers={**event.headers, **arrival}))
        self.bus.run_until_idle()

    def advance(self, by: timedelta) -> None:
        """Move the clock, and run the sweeps of checkout and inventory. The test itself expires Stripe's sessions."""
        self.account.timers.advance(by.total_seconds())
        self.sweeper.run(self.now())
        reservations.expire_due(self.databases["inventory"], self.now())
        self.bus.run_until_idle()

    def statuses(self, started: Checkout) -> tuple[str, str, str]:
        """Return the statuses of checkout, reservation and order, with a "!" if the order needs a review."""
        with self.databases["checkout"].read() as session:
            checkout_status = session.get_one(Checkout, started.id).status
        with self.databases["inventory"].read() as session:
            reservation_status = session.get_one(Reservation, started.id).status
        with self.databases["orders"].read() as session:
            order = session.query(Order).filter_by(checkout_id=started.id).one()
            return checkout_status, reservation_status, f"{order.status}{'!' if order.needs_review else ''}"

    def stock(self) -> tuple[int, int]:
        with self.databases["inventory"].read() as session:
            stock = session.get_one(StockItem, "TEE")
            return stock.on_hand, stock.reserved

    def discount_uses(self) -> list[str]:
        with self.databases["checkout"].read() as session:
            return [use.status for use in session.query(DiscountUse).order_by(DiscountUse.checkout_id)]

    def timeline(self) -> list[str]:
        """Return the texts of the only order's timeline as operators read them, the oldest first."""
        web: Any = self.operators()
        (order,) = web.get("/orders", headers=OPERATOR).json["items"]
        return [entry["text"] for entry in web.get(f"/orders/{order['id']}", headers=OPERATOR).json["timeline"]]

    def operators(self, api_key: str = "sk_test_1") -> FlaskClient:
        """Return a client of the orders service, whose refunds go to the fake Stripe with this key."""
        config = orders.config.Config(
            service="orders", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": OPERATOR_TOKEN}, stripe_api_key="sk_test_1", livemode=False,
        )  # fmt: skip
        client = stripe_api.client(api_key, "https://stripe.test", retries=0, http_client=self.stripe_http)
        database, gateway = self.databases["orders"], RefundGateway(client)
        return orders.app.create_app(config, database=database, gateway=gateway).test_client()
