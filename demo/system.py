"""Where a running system is, and what it takes to use it as its people do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.fake_stripe import FakeStripe
from demo.shop.mailbox import Mailbox

SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


@dataclass(frozen=True)
class System:
    """URLs by service, the operator's token, and the fakes at its edges."""

    urls: Mapping[str, str]
    operator_token: str = field(repr=False)
    stripe: FakeStripe
    mailbox: Mailbox

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
