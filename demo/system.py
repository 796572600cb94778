"""Where a running system is, and what it takes to use it as its people do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from demo.fake_stripe.state import Object
from demo.shop.app import Mails

SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


class Stripe(Protocol):
    """What scenarios ask of a fake Stripe: `FakeStripe` in this process, or `RemoteStripe`."""

    @property
    def ledger(self) -> Object: ...
    def session(self, session_id: str) -> Object: ...
    def line_items(self, session_id: str) -> list[Object]: ...
    def pay(self, session_id: str, method: str = "card", email: str | None = None) -> str: ...
    def settle(self, session_id: str) -> bool: ...
    def expire(self, session_id: str) -> Object: ...
    def recover(self, session_id: str) -> Object: ...
    def refund(self, session_id: str, **params: Any) -> Object: ...
    def dispute(self, session_id: str, status: str | None = None, **how: Any) -> Object: ...


@dataclass(frozen=True)
class System:
    """URLs by service, the operator's token, and the fakes at its edges."""

    urls: Mapping[str, str]
    operator_token: str = field(repr=False)
    stripe: Stripe
    mailbox: Mails

    def get(self, service: str, path: str, *, operator: bool = False) -> httpx.Response:
        return httpx.get(self.urls[service] + path, headers=self._operator_header() if operator else {}, timeout=10)

    def post(self, service: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return httpx.post(self.urls[service] + path, json=body or {}, headers=headers, timeout=20)

    def operate(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """As an operator."""
        named = headers | self._operator_header()
        return httpx.request(method, self.urls[service] + path, json=body or {}, headers=named, timeout=30)

    def _operator_header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.operator_token}"}
