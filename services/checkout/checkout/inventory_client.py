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
STOCK_WAIT_S = 0.5  # for another thread that is asking; the list is then shown without stock
MAX_KNOWN_SKUS = 2_000  # ten of the largest pages; the stock of others is asked for again

log = get_logger(__name__)


class InventoryClient:
    """Calls inventory over HTTP. Every call can be repeated, because a reservation belongs to a checkout id.

    A call raises `InventoryAwayError` if inventory does not answer, or answers with an unexpected error.
    """

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport or httpx.HTTPTransport(retries=1),
        )

    def reserve(self, checkout_id: str, until: datetime, lines: Sequence[Mapping[str, Any]]) -> None:
        """Reserve all lines until an instant, or none. A repeat with the same lines can only extend the reservation.

        Raises `OutOfStockError` with the lines that have too little stock, and `CheckoutExpiredError` if the
        checkout's reservation has already ended.
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

        If its pieces are sold, or held for a payment under way, inventory refuses this. That is no error here: the
        pieces stay sold or held.
        """
        answer = self._send("DELETE", f"/reservations/{checkout_id}")
        if answer.status_code != httpx.codes.CONFLICT:
            self._expect_success(answer)

    def extend(self, checkout_id: str, until: datetime) -> None:
        """Keep the checkout's pieces until a later time.

        If the pieces are not held and cannot be held again, log a warning and return: the payment continues without
        them.
        """
        body = {"expires_at": until.astimezone(UTC).isoformat()}
        answer = self._send("PATCH", f"/reservations/{checkout_id}", json=body)
        if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.NOT_FOUND):
            log.warning(
                "inventory cannot hold the stock of a payment under way, the order may be oversold",
                checkout_id=checkout_id,
            )
        else:
            self._expect_success(answer)

    def available(self, skus: Sequence[str]) -> dict[str, int]:
        """Return the available pieces by sku, for at most 200 skus. Unknown skus are left out.

        Inventory's public route shows more than 100 pieces as 100.
        """
        answer = self._send("GET", "/availability", params={"sku": list(skus), "limit": len(skus)})
        self._expect_success(answer)
        return {item["sku"]: item["available"] for item in answer.json()["items"]}

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
    """The available pieces by sku, at most `STOCK_CACHE_AGE_S` old. One thread at a time asks inventory.

    While inventory is away, it is asked at most once in each `STOCK_CACHE_AGE_S`.
    """

    def __init__(
        self, fetch: Callable[[Sequence[str]], Mapping[str, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._clock = fetch, clock
        self._fetching = threading.Lock()
        self._known: dict[str, tuple[float, int | None]] = {}  # until when it holds; None: not a sku of inventory
        self._away_until = float("-inf")

    def available(self, skus: Sequence[str]) -> Mapping[str, int | None]:
        """Return the available pieces by sku; None for a sku that inventory does not have.

        Skus without a current number are left out. Inventory gets at most one request.
        """
        if self._missing(skus) and self._fetching.acquire(timeout=STOCK_WAIT_S):
            try:
                self._ask(self._missing(skus))  # another thread may have asked for the same ones
            finally:
                self._fetching.release()
        now, known = self._clock(), self._known
        return {sku: known[sku][1] for sku in skus if sku in known and known[sku][0] > now}

    def _missing(self, skus: Sequence[str]) -> list[str]:
        now, known = self._clock(), self._known
        return [sku for sku in skus if sku not in known or known[sku][0] <= now]

    def _ask(self, skus: Sequence[str]) -> None:
        if not skus or self._clock() < self._away_until:
            return
        try:
            found = self._fetch(skus)
        except InventoryAwayError:  # the client has logged it; the list is shown without stock
            self._away_until = self._clock() + STOCK_CACHE_AGE_S
            return
        until = self._clock() + STOCK_CACHE_AGE_S
        kept = self._known if len(self._known) + len(skus) <= MAX_KNOWN_SKUS else {}
        self._known = {**kept, **{sku: (until, found.get(sku)) for sku in skus}}
