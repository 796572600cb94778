"""Inventory over HTTP: reserve and release for a checkout, and what is available right now."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from events.observability.logging import get_logger

from checkout.problems import CheckoutExpired, InventoryUnavailable, OutOfStock

TIMEOUT = 3  # seconds; the customer is waiting, and a slow inventory must not tie up our threads
FRESH = 1  # second that the shop's lists may show a stock that has just changed; a reservation decides
PAGE = 200

log = get_logger(__name__)


class InventoryClient:
    """Every call may be repeated: a reservation belongs to its checkout id."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            transport=transport or httpx.HTTPTransport(retries=1),
        )

    def reserve(self, checkout_id: str, until: datetime, lines: Sequence[Mapping[str, Any]]) -> None:
        """Hold all lines or none. Raises `OutOfStock`, `InventoryUnavailable`; `CheckoutExpired` if let go before."""
        answer = self._send(
            "POST",
            "/reservations",
            json={
                "checkout_id": checkout_id,
                "expires_at": until.astimezone(UTC).isoformat(),
                "lines": [{"sku": line["sku"], "quantity": line["quantity"]} for line in lines],
            },
        )
        if answer.status_code != httpx.codes.CONFLICT:
            self._expect_success(answer)
        elif answer.json()["type"].endswith(":out-of-stock"):
            raise OutOfStock(answer.json()["lines"])
        else:
            raise CheckoutExpired

    def release(self, checkout_id: str) -> None:
        """Let the stock go, if it is held. What has been sold stays sold."""
        answer = self._send("DELETE", f"/reservations/{checkout_id}")
        if answer.status_code != httpx.codes.CONFLICT:
            self._expect_success(answer)

    def available(self) -> dict[str, int]:
        """Pieces that can be reserved, by sku, as inventory shows them: capped. Raises `InventoryUnavailable`."""
        found: dict[str, int] = {}
        cursor: str | None = ""
        while cursor is not None:
            answer = self._send("GET", "/availability", params={"limit": PAGE} | ({"cursor": cursor} if cursor else {}))
            self._expect_success(answer)
            page = answer.json()
            found.update({item["sku"]: item["available"] for item in page["items"]})
            cursor = page.get("next_cursor")
        return found

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            try:
                return self._http.request(method, path, **content)
            except httpx.RemoteProtocolError:  # a pooled connection that inventory had just closed
                return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            log.warning("inventory is away", method=method, path=path, error=repr(error))
            raise InventoryUnavailable from error

    def _expect_success(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            log.error("inventory answered with an error", path=answer.url.path, status=answer.status_code)
            raise InventoryUnavailable


class StockView:
    """What is available, at most a second old; one caller at a time asks, the others take what is known."""

    def __init__(self, ask: Callable[[], dict[str, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._asking = threading.Lock()
        self._known: Mapping[str, int] = {}
        self._fresh_until = float("-inf")

    def available(self) -> Mapping[str, int]:
        """By sku; empty while inventory is away."""
        if self._clock() >= self._fresh_until and self._asking.acquire(blocking=False):
            try:
                self._known = self._ask()
            except InventoryUnavailable:
                self._known = {}
            finally:
                self._fresh_until = self._clock() + FRESH
                self._asking.release()
        return self._known
