"""Fixtures: the checkout service with a fake Stripe and a fake inventory.

The fakes replace the HTTP connections below the service's own clients, so these clients are tested, too. The database,
the inbox, the outbox and the web application are real.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import stripe
from checkout import catalog
from checkout.app import create_app
from checkout.chains import CHAINS
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.creation import CheckoutRequest
from checkout.handlers import handlers
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout
from checkout.pricing import Item
from checkout.stripe_sessions import StripeSessions
from checkout.sweeper import Sweeper
from events.database.engine import Database
from events.testing.bus import deliver, outbox_events
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from flask import Flask
from flask.testing import FlaskClient

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
OPERATOR = "operator-token-0123"

CATALOG = {
    "products": [
        {"sku": "TEE-M", "group": "TEE", "size": "M", "name": "T-shirt, M", "description": "Cotton",
         "image": "/img/tee.svg", "prices": {"eur": 2499, "usd": 2799, "jpy": 3900}, "tax_code": "txcd_30011000",
         "stock": 5, "active": True},
        {"sku": "CAP", "group": "CAP", "size": None, "name": "Cap", "description": None, "image": None,
         "prices": {"eur": 1750}, "tax_code": None, "stock": 9, "active": True},
        {"sku": "OLD", "group": "OLD", "size": None, "name": "Last year's", "description": None, "image": None,
         "prices": {"eur": 100}, "tax_code": None, "stock": 1, "active": False},
    ],
    "shipping_options": [
        {"id": "standard", "name": "Standard", "amounts": {"eur": 490}, "free_from": {"eur": 8000},
         "min_days": 2, "max_days": 4},
    ],
}  # fmt: skip


class SimulatedCrashError(Exception):
    """The death of the process at this point."""


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


class FakeStripe(stripe.HTTPClient):
    """The parts of Stripe that checkout calls, with its idempotency keys and its 30-minute minimum.

    `before` and `after` run at each call with its path. They may raise, or return (status, body) as the answer.
    """

    name = "fake"

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.sessions: dict[str, dict[str, Any]] = {}
        self.coupons: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[str, dict[str, Any]]] = {}  # by idempotency key: form and body
        self.calls: list[tuple[str, str]] = []
        self.params: list[dict[str, Any]] = []
        self.before: Callable[[str], Any] = lambda _: None
        self.after: Callable[[str], Any] = lambda _: None

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        path = urlsplit(url).path
        self.calls.append((method, path))
        instead = self.before(path)
        status, body = instead or self.answer(method, path, headers, post_data or "")
        instead = self.after(path)
        status, body = instead or (status, body)
        return json.dumps(body), status, {"request-id": "req_fake"}

    def answer(self, method: str, path: str, headers: Any, form: str) -> tuple[int, dict[str, Any]]:
        if path.startswith("/v1/coupons/"):
            coupon = self.coupons.pop(path.split("/")[3], None)
            return (200, {"id": coupon["id"], "deleted": True}) if coupon else error(404, "resource_missing")
        if method.upper() == "POST" and path in ("/v1/checkout/sessions", "/v1/coupons"):
            return self.create(path, headers["Idempotency-Key"], form)
        session = self.sessions.get(path.split("/")[4])
        if session is None:
            return error(404, "resource_missing")
        if path.endswith("/expire"):
            if session["status"] != "open":
                return error(400, None)
            session.update(status="expired", url=None)
        return 200, session

    def create(self, path: str, key: str, form: str) -> tuple[int, dict[str, Any]]:
        if key in self.answers:
            known_form, body = self.answers[key]
            return (200, body) if known_form == form else error(400, None, "idempotency_error")
        params = unflatten(form)
        self.params.append(params)
        status, body = self.make_coupon(params) if path == "/v1/coupons" else self.make_session(params)
        if status == 200:
            self.answers[key] = form, dict(body)
        return status, body

    def make_coupon(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if params["id"] in self.coupons:
            return error(400, "resource_already_exists")
        self.coupons[params["id"]] = {"object": "coupon", **params}
        return 200, self.coupons[params["id"]]

    def make_session(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if int(params["expires_at"]) < self.clock.now.timestamp() + 1800:
            return error(400, "timestamp_too_soon")
        session_id = f"cs_test_{len(self.sessions) + 1}"
        session = {
            "id": session_id,
            "object": "checkout.session",
            "status": "open",
            "payment_status": "unpaid",
            "livemode": False,
            "metadata": params["metadata"],
            "expires_at": int(params["expires_at"]),
            "url": f"https://checkout.stripe.test/{session_id}",
        }
        self.sessions[session_id] = session
        return 200, session

    def pay(self, session_id: str) -> None:
        self.sessions[session_id].update(status="complete", payment_status="paid", url=None)


def error(status: int, code: str | None, kind: str = "invalid_request_error") -> tuple[int, dict[str, Any]]:
    return status, {"error": {"type": kind, "code": code, "message": "no", "param": None}}


def unflatten(form: str) -> dict[str, Any]:
    """Return the nested parameters of a form: `a[b][0]=c` is {"a": {"b": {"0": "c"}}}."""
    params: dict[str, Any] = {}
    for key, value in parse_qsl(form, keep_blank_values=True):
        *path, last = key.replace("]", "").split("[")
        parent = params
        for name in path:
            parent = parent.setdefault(name, {})
        parent[last] = value
    return params


class FakeInventory:
    """The parts of inventory that checkout calls."""

    def __init__(self) -> None:
        self.stock = {"TEE-M": 5, "CAP": 9}
        self.reservations: dict[str, dict[str, Any]] = {}
        self.released: list[str] = []
        self.stock_requests: list[list[str]] = []
        self.before: Callable[[httpx.Request], Any] = lambda _: None
        self.after: Callable[[httpx.Request], Any] = lambda _: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer service-token-0123"
        instead = self.before(request)
        answer = instead or self.answer(request)
        self.after(request)
        return answer

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            wanted = request.url.params.get_list("sku")
            self.stock_requests.append(wanted)
            items = [{"sku": sku, "available": count} for sku, count in self.stock.items() if sku in wanted]
            return httpx.Response(200, json={"items": items, "next_cursor": None})
        if request.method == "PATCH":
            checkout_id = request.url.path.rsplit("/", 1)[1]
            if checkout_id not in self.reservations:
                return problem("reservation-conflict")
            self.reservations[checkout_id] |= json.loads(request.content)
            return httpx.Response(200, json=self.reservations[checkout_id])
        if request.method == "DELETE":
            checkout_id = request.url.path.rsplit("/", 1)[1]
            self.reservations.pop(checkout_id, None)
            self.released.append(checkout_id)
            return httpx.Response(204)
        return self.reserve(json.loads(request.content))

    def reserve(self, reservation: dict[str, Any]) -> httpx.Response:
        if reservation["checkout_id"] in self.reservations:
            return httpx.Response(200, json=reservation)
        if reservation["checkout_id"] in self.released:
            return problem("reservation-conflict")
        short = [
            {"sku": line["sku"], "requested": line["quantity"], "available": self.stock[line["sku"]]}
            for line in reservation["lines"]
            if line["quantity"] > self.stock[line["sku"]]
        ]
        if short:
            return problem("out-of-stock", lines=short)
        self.reservations[reservation["checkout_id"]] = reservation
        return httpx.Response(201, json=reservation)


def problem(kind: str, **members: Any) -> httpx.Response:
    return httpx.Response(409, json={"type": f"urn:clozit:problem:{kind}", **members})


class CheckoutSystem:
    """The checkout service with its database, its fake neighbors and a clock that the test moves."""

    def __init__(self, database: Database, config: Config) -> None:
        self.database, self.config = database, config
        self.clock = Clock()
        self.stripe, self.inventory = FakeStripe(self.clock), FakeInventory()
        self.stripe_sessions = StripeSessions("sk_test_1", "https://stripe.test", http_client=self.stripe, retries=0)
        self.inventory_client = InventoryClient(
            config.inventory_url, config.service_token, transport=httpx.MockTransport(self.inventory)
        )
        self.checkouts = Checkouts(config, database, self.stripe_sessions, self.inventory_client, self.clock)
        self.sweeper = Sweeper(database, self.stripe_sessions, self.inventory_client)

    def start(self, key: str | None = "key-1", **fields: Any) -> Checkout:
        """Start a checkout for two T-shirts."""
        return self.checkouts.start(CheckoutRequest(items=[Item("TEE-M", 2)], **fields), key)

    def stored_checkout(self) -> Checkout:
        """Return the only checkout in the database."""
        with self.database.read() as session:
            return session.query(Checkout).one()

    def deliver_session_event(self, kind: str, checkout_id: str | None, **session: Any) -> str:
        """Deliver Stripe's event about a checkout's session and return its outcome."""
        session = {"id": "cs_test_1"} | session
        event = stripe_event(f"checkout.session.{kind}", checkout_session(checkout_id, **session))
        return deliver(self.database, handlers, as_bus_event(event))

    def published_types(self) -> list[str]:
        """Return the types of the events in the outbox, the oldest first."""
        return [event.type for event in outbox_events(self.database)]

    def create_app(self) -> Flask:
        """Return the web application, with the system's clock."""
        app = create_app(
            self.config, database=self.database, stripe=self.stripe_sessions, inventory=self.inventory_client
        )
        app.extensions["clozit"] = replace(app.extensions["clozit"], checkouts=self.checkouts)
        return app


@pytest.fixture
def config() -> Config:
    return Config(
        service="checkout",
        port=8001,
        broker_url="memory://",
        database_url="sqlite://",
        operator_tokens={"zoe": OPERATOR},
        service_token="service-token-0123",
        stripe_api_key="sk_test_1",
        livemode=False,
        inventory_url="http://inventory.test",
        shop_url="https://shop.test",
        allowed_origins=("https://staging.shop.test:8443",),
    )


@pytest.fixture
def make_system(config: Config) -> Callable[[Any], CheckoutSystem]:
    def make(make_database: Any) -> CheckoutSystem:
        database = make_database(CHAINS)
        catalog.seed(database, CATALOG)
        return CheckoutSystem(database, config)

    return make


@pytest.fixture
def system(make_system: Callable[[Any], CheckoutSystem], sqlite_database: Any) -> CheckoutSystem:
    """The system on SQLite, for tests that do not depend on a database's locks."""
    return make_system(sqlite_database)


@pytest.fixture
def any_system(make_system: Callable[[Any], CheckoutSystem], any_database: Any) -> CheckoutSystem:
    """The system, once on SQLite and once on PostgreSQL."""
    return make_system(any_database)


@pytest.fixture
def client(system: CheckoutSystem) -> FlaskClient:
    return system.create_app().test_client()


@pytest.fixture
def crash() -> SimpleNamespace:
    """A hook for the fakes: `crash.once(path)` raises `crash.error` at the first call of the path."""

    def once(path: str) -> Callable[[Any], None]:
        calls: Iterator[int] = itertools.count()

        def hook(call: Any) -> None:
            called = call if isinstance(call, str) else call.url.path
            if called == path and next(calls) == 0:
                raise SimulatedCrashError

        return hook

    return SimpleNamespace(once=once, error=SimulatedCrashError)
