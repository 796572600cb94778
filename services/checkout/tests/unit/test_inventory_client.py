"""The client of inventory and the stock cache."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from checkout.errors import CheckoutExpiredError, InventoryAwayError, OutOfStockError
from checkout.inventory_client import InventoryClient, StockCache

UNTIL = datetime(2026, 5, 4, 11, 33, tzinfo=UTC)
LINES = [{"sku": "TEE-M", "quantity": 2, "name": "T-shirt"}]


def inventory(answer: Any) -> InventoryClient:
    return InventoryClient("http://inventory.test", "token", transport=httpx.MockTransport(answer))


def problem(kind: str, **members: Any) -> httpx.Response:
    return httpx.Response(409, json={"type": f"urn:clozit:problem:{kind}", **members})


def test_out_of_stock_names_the_lines() -> None:
    short = [{"sku": "TEE-M", "requested": 2, "available": 1}]
    with pytest.raises(OutOfStockError) as raised:
        inventory(lambda _: problem("out-of-stock", lines=short)).reserve("chk_1", UNTIL, LINES)
    assert raised.value.lines == short


def test_released_reservation_expires_the_checkout() -> None:
    with pytest.raises(CheckoutExpiredError):
        inventory(lambda _: problem("reservation-conflict")).reserve("chk_1", UNTIL, LINES)


@pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
def test_unexpected_status_counts_as_unavailable(status: int) -> None:
    with pytest.raises(InventoryAwayError):
        inventory(lambda _: httpx.Response(status)).reserve("chk_1", UNTIL, LINES)


def test_timeout_counts_as_unavailable() -> None:
    def stuck(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(InventoryAwayError):
        inventory(stuck).release("chk_1")


def test_closed_pooled_connection_is_retried_once() -> None:
    calls: list[str] = []

    def closing(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        if len(calls) == 1:
            raise httpx.RemoteProtocolError("closed")
        return httpx.Response(204)

    inventory(closing).release("chk_1")
    assert len(calls) == 2


def test_release_of_sold_stock_succeeds() -> None:
    inventory(lambda _: problem("reservation-committed")).release("chk_1")


def test_stock_of_a_page_is_one_request() -> None:
    skus = [f"SKU-{number}" for number in range(200)]
    urls: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        items = [{"sku": sku, "available": 1} for sku in request.url.params.get_list("sku")]
        return httpx.Response(200, json={"items": items, "next_cursor": None})

    assert inventory(answer).available(skus) == dict.fromkeys(skus, 1)
    assert [(url.path, url.params["limit"]) for url in urls] == [("/availability", "200")]


def test_stock_of_a_sku_is_fetched_once_a_second() -> None:
    seconds, asked = [0.0], []

    def fetch(skus: Sequence[str]) -> dict[str, int]:
        asked.append(skus)
        return {sku: len(asked) for sku in skus if sku != "GHOST"}

    cache = StockCache(fetch, clock=lambda: seconds[0])
    assert cache.available(["A", "GHOST"]) == {"A": 1, "GHOST": None}
    assert cache.available(["A", "B", "GHOST"]) == {"A": 1, "B": 2, "GHOST": None}
    seconds[0] = 1.0
    assert cache.available(["A"]) == {"A": 3}
    assert asked == [["A", "GHOST"], ["B"], ["A"]]


def test_unavailable_inventory_is_asked_once_a_second() -> None:
    seconds, asked = [0.0], []

    def unavailable(skus: Sequence[str]) -> dict[str, int]:
        asked.append(skus)
        raise InventoryAwayError

    cache = StockCache(unavailable, clock=lambda: seconds[0])
    assert cache.available(["A"]) == cache.available(["B"]) == {}
    seconds[0] = 1.0
    assert cache.available(["B"]) == {}
    assert asked == [["A"], ["B"]]
