from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from checkout.inventory_client import InventoryClient, StockView
from checkout.problems import CheckoutExpired, InventoryUnavailable, OutOfStock

UNTIL = datetime(2026, 5, 4, 11, 33, tzinfo=UTC)
LINES = [{"sku": "TEE-M", "quantity": 2, "name": "T-shirt"}]


def inventory(answer: Any) -> InventoryClient:
    return InventoryClient("http://inventory.test", "token", transport=httpx.MockTransport(answer))


def problem(kind: str, **members: Any) -> httpx.Response:
    return httpx.Response(409, json={"type": f"urn:clozit:problem:{kind}", **members})


def test_short_lines_are_told() -> None:
    short = [{"sku": "TEE-M", "requested": 2, "available": 1}]
    with pytest.raises(OutOfStock) as raised:
        inventory(lambda _: problem("out-of-stock", lines=short)).reserve("chk_1", UNTIL, LINES)
    assert raised.value.members == {"lines": short}


def test_reservation_that_was_let_go_ends_the_checkout() -> None:
    with pytest.raises(CheckoutExpired):
        inventory(lambda _: problem("reservation-conflict")).reserve("chk_1", UNTIL, LINES)


@pytest.mark.parametrize("status", [401, 404, 422, 500, 503])
def test_anything_unexpected_is_an_outage(status: int) -> None:
    with pytest.raises(InventoryUnavailable):
        inventory(lambda _: httpx.Response(status)).reserve("chk_1", UNTIL, LINES)


def test_timeout_is_an_outage() -> None:
    def stuck(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(InventoryUnavailable):
        inventory(stuck).release("chk_1")


def test_connection_that_inventory_had_closed_is_tried_once_more() -> None:
    calls: list[str] = []

    def closing(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        if len(calls) == 1:
            raise httpx.RemoteProtocolError("closed")
        return httpx.Response(204)

    inventory(closing).release("chk_1")
    assert len(calls) == 2


def test_sold_stock_stays_sold() -> None:
    inventory(lambda _: problem("reservation-committed")).release("chk_1")


def test_all_pages_of_the_stock_are_read() -> None:
    pages: dict[str | None, dict[str, Any]] = {
        None: {"items": [{"sku": "A", "available": 1}], "next_cursor": "more"},
        "more": {"items": [{"sku": "B", "available": 2}], "next_cursor": None},
    }
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=pages[request.url.params.get("cursor")])

    assert inventory(answer).available() == {"A": 1, "B": 2}
    assert paths == ["/availability"] * 2


def test_stock_is_asked_for_once_a_second() -> None:
    seconds, answers = [0.0], iter([{"A": 1}, {"A": 2}])
    view = StockView(lambda: next(answers), clock=lambda: seconds[0])
    assert view.available() == view.available() == {"A": 1}
    seconds[0] = 1.0
    assert view.available() == {"A": 2}


def test_nothing_is_known_while_inventory_is_away() -> None:
    def away() -> dict[str, int]:
        raise InventoryUnavailable

    assert StockView(away).available() == {}
