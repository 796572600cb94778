"""The composed system as `make up` publishes it: its services, the fake Stripe and the mail catcher, by their HTTP."""

import os
from pathlib import Path
from typing import Any

import httpx

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.state import Object
from demo.shop.mailpit import Mailpit
from demo.system import System

TOKENS = Path(__file__).parents[1] / ".secrets" / "operator_tokens"
PORTS = {"checkout": 8001, "webhooks": 8002, "orders": 8003, "inventory": 8004, "notifications": 8005}
KEY = {"Authorization": "Bearer sk_test_remote"}  # the fake takes any


class RemoteStripe:
    """What scenarios ask of `FakeStripe`, through its API and its control routes."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers=KEY, timeout=30)

    @property
    def ledger(self) -> Object:
        return self._answer(self._client.get("/_control/state"))

    def session(self, session_id: str) -> Object:
        return self._answer(self._client.get(f"/v1/checkout/sessions/{session_id}"))

    def line_items(self, session_id: str) -> list[Object]:
        items: list[Object] = self._answer(self._client.get(f"/v1/checkout/sessions/{session_id}/line_items"))["data"]
        return items

    def pay(self, session_id: str, method: str = "card", email: str | None = None) -> str:
        return str(self._control("pay", session_id=session_id, method=method, email=email)["redirect"])

    def settle(self, session_id: str) -> bool:
        return bool(self._control("settle", session_id=session_id)["settled"])

    def expire(self, session_id: str) -> Object:
        return self._control("expire", session_id=session_id)

    def recover(self, session_id: str) -> Object:
        return self._control("recover", session_id=session_id)

    def refund(self, session_id: str, **params: Any) -> Object:
        return self._control("refund", session_id=session_id, **params)

    def dispute(self, session_id: str, status: str | None = None, **how: Any) -> Object:
        return self._control("dispute", session_id=session_id, status=status, **how)

    def _control(self, act: str, **body: Any) -> Object:
        wanted = {name: value for name, value in body.items() if value is not None}
        return self._answer(self._client.post(f"/_control/{act}", json=wanted))

    def _answer(self, response: httpx.Response) -> Object:
        """Raises `StripeError` as the fake itself does."""
        document: Object = response.json()
        if response.is_error:
            raise StripeError(document["error"]["message"], status=response.status_code)
        return document


def composed() -> System:
    """On the ports of docker-compose.yml, or as its variables move them."""
    urls = {service: _url(f"{service.upper()}_PORT", port) for service, port in PORTS.items()}
    token = TOKENS.read_text().split(",")[0].partition(":")[2].strip()
    return System(urls, token, RemoteStripe(_url("FAKE_STRIPE_PORT", 8010)), Mailpit(_url("MAIL_UI_PORT", 8025)))


def _url(variable: str, port: int) -> str:
    return f"http://127.0.0.1:{os.environ.get(variable, port)}"
