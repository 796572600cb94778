"""The client of the inventory service: reservations of checkouts, and the available stock."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from events.observability.logging import get_logger

from checkout.errors import CheckoutExpiredError, InventoryAwayError, OutOfStockError

TIMEOUT_S = 3  # the customer is waiting, and a slow inventory must not occupy all of our threads
STOCK_CACHE_AGE_S = 1  # product lists may show stock that is this old; a reservation uses the current stock
PAGE_SIZE = 200  # inventory's maximum

log = get_logger(__name__)


class InventoryClient:
    """Calls inventory over HTTP. Every call can be repeated, because a reservation belongs to a checkout id.

    All methods raise `InventoryAwayError`.
    """

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport or httpx.HTTPTransport(retries=1),
        )

    def reserve(self, checkout_id: str, until: datetime, lines: Sequence[Mapping[str, Any]]) -> None:
        """Reserve all lines or none.

        Raises `OutOfStockError` with the lines that have too little stock, and `CheckoutExpiredError` if the
        checkout's reservation has already been released.
        """
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
            raise OutOfStockError(answer.json()["lines"])
        else:
            raise CheckoutExpiredError

    def release(self, checkout_id: str) -> None:
        """Release the checkout's reservation, if it has one.

        Pieces that are sold, or held for a payment under way, stay so: inventory refuses this, which is no error here.
        """
        answer = self._send("DELETE", f"/reservations/{checkout_id}")
        if answer.status_code != httpx.codes.CONFLICT:
            self._expect_success(answer)

    def extend(self, checkout_id: str, until: datetime) -> None:
        """Keep the checkout's pieces until a later time.

        If they are not held and cannot be held again, log a warning and return: the payment goes on without them.
        """
        body = {"expires_at": until.astimezone(UTC).isoformat()}
        answer = self._send("PATCH", f"/reservations/{checkout_id}", json=body)
        if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.NOT_FOUND):
            log.warning(
                "the stock of a payment under way is not held, the order may be oversold", checkout_id=checkout_id
            )
        else:
            self._expect_success(answer)

    def available(self) -> dict[str, int]:
        """Return the available pieces by sku, with the cap of inventory's public route."""
        quantities: dict[str, int] = {}
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": PAGE_SIZE} | ({"cursor": cursor} if cursor else {})
            answer = self._send("GET", "/availability", params=query)
            self._expect_success(answer)
            page = answer.json()
            quantities.update({item["sku"]: item["available"] for item in page["items"]})
            cursor = page.get("next_cursor")
        return quantities

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            try:
                return self._http.request(method, path, **content)
            except httpx.RemoteProtocolError:  # a pooled connection that inventory had just closed
                return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            log.warning("inventory is unreachable", method=method, path=path, error=repr(error))
            raise InventoryAwayError from error

    def _expect_success(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            log.error("inventory answered with an error", path=answer.url.path, status=answer.status_code)
            raise InventoryAwayError


class StockCache:
    """The available stock, at most `STOCK_CACHE_AGE_S` old. One thread asks inventory; others use the known stock."""

    def __init__(self, fetch: Callable[[], dict[str, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._fetching = threading.Lock()
        self._known: Mapping[str, int] = {}
        self._fresh_until = float("-inf")

    def available(self) -> Mapping[str, int]:
        """Return the available pieces by sku; an empty mapping while inventory is unavailable."""
        if self._clock() >= self._fresh_until and self._fetching.acquire(blocking=False):
            try:
                self._known = self._fetch()
            except InventoryAwayError:
                self._known = {}
            finally:
                self._fresh_until = self._clock() + STOCK_CACHE_AGE_S
                self._fetching.release()
        return self._known
