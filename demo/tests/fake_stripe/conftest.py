"""Fixtures: a fake Stripe and a receiver of its webhooks, both in this process, and the official SDK's client."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from demo.fake_stripe.server import FakeStripe

SECRET = "whsec_tests"
CreateSession = Callable[..., stripe.checkout.Session]


@dataclass
class Webhook:
    """A webhook that the receiver got."""

    body: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


@dataclass
class Receiver:
    """A receiver that stores every webhook. It answers with the next of `statuses`, then with 200."""

    statuses: list[int] = field(default_factory=list)
    received: list[Webhook] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def receive(self, webhook: Webhook) -> int:
        """Store a webhook and return the status of the answer."""
        with self.arrived:
            self.received.append(webhook)
            self.arrived.notify_all()
            return self.statuses.pop(0) if self.statuses else 200

    def webhooks_of(self, type_: str) -> list[Webhook]:
        """Return the webhooks of this event type so far."""
        return [webhook for webhook in self.received if webhook.event["type"] == type_]

    def wait_for(self, type_: str, count: int = 1) -> list[Webhook]:
        """Wait until `count` webhooks of this event type have arrived, for at most 10 seconds, and return them."""
        with self.arrived:
            enough = self.arrived.wait_for(lambda: len(self.webhooks_of(type_)) >= count, 10)
            assert enough, f"fewer than {count} {type_}"
            return self.webhooks_of(type_)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.receive(Webhook(body, self.headers["Stripe-Signature"])))
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fake(receiver: Receiver) -> Iterator[FakeStripe]:
    with FakeStripe(
        webhooks=[(receiver.url, SECRET)], webhook_backoff=(0.01,), sepa_delay=3600, followup_delay=0
    ) as running:
        yield running


@pytest.fixture
def client(fake: FakeStripe) -> Iterator[stripe.StripeClient]:
    http_client = stripe.RequestsClient(timeout=10)
    yield stripe.StripeClient(
        "sk_test_made_up", base_addresses={"api": fake.url}, max_network_retries=0, http_client=http_client
    )
    http_client.close()


@pytest.fixture
def cart() -> dict[str, Any]:
    """The parameters that the checkout service sends."""
    shirt = {"name": "T-shirt, gray", "description": "Organic cotton", "metadata": {"sku": "TS-GRAY-M"}}
    socks = {"name": "Socks", "metadata": {"sku": "SOCKS"}}
    return {
        "mode": "payment",
        "line_items": [
            {"price_data": {"currency": "eur", "unit_amount": 1999, "product_data": shirt}, "quantity": 2},
            {"price_data": {"currency": "eur", "unit_amount": 1250, "product_data": socks}, "quantity": 1},
        ],
        "success_url": "https://shop.test/thanks?session_id={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.test/cart",
        "client_reference_id": "chk_1",
        "metadata": {"checkout_id": "chk_1"},
        "payment_intent_data": {"metadata": {"checkout_id": "chk_1", "from": "intent"}},
        "shipping_address_collection": {"allowed_countries": ["DE", "AT"]},
        "shipping_options": [
            {
                "shipping_rate_data": {
                    "display_name": "Parcel",
                    "type": "fixed_amount",
                    "fixed_amount": {"amount": 490, "currency": "eur"},
                    "delivery_estimate": {"minimum": {"unit": "business_day", "value": 2}},
                }
            }
        ],
    }


@pytest.fixture
def create_session(client: stripe.StripeClient, cart: dict[str, Any]) -> CreateSession:
    """A function that creates a session of the cart, with changed parameters. None leaves a parameter out."""

    def create(options: Any = None, **changes: Any) -> stripe.checkout.Session:
        params: Any = {name: value for name, value in {**cart, **changes}.items() if value is not None}
        return client.v1.checkout.sessions.create(params, options)

    return create
