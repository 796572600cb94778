"""A running system, embedded or composed, as scenarios and tests use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.fake_stripe.client import Stripe
from demo.shop.app import Mails

SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


@dataclass(frozen=True)
class System:
    """The services' URLs by name, an operator's token, the fake Stripe and the mailbox."""

    urls: Mapping[str, str]
    operator_token: str = field(repr=False)
    stripe: Stripe
    mailbox: Mails

    def get(self, service: str, path: str, *, operator: bool = False) -> httpx.Response:
        """Send a GET request, with the operator's token if `operator` is true."""
        return httpx.get(self.urls[service] + path, headers=self._operator_header() if operator else {}, timeout=10)

    def post(self, service: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a POST request as the shop's frontend does, without a token."""
        return httpx.post(self.urls[service] + path, json=body or {}, headers=headers, timeout=20)

    def operate(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request with the operator's token."""
        with_token = headers | self._operator_header()
        return httpx.request(method, self.urls[service] + path, json=body or {}, headers=with_token, timeout=30)

    def _operator_header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.operator_token}"}
