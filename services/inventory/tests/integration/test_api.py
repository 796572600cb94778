from typing import Any

import pytest
from events.database.engine import Database
from events.testing.bus import deliver
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.handlers import handlers

OPERATOR = {"Authorization": "Bearer operator-token-of-ana"}
SERVICE = {"Authorization": "Bearer service-token-of-tests"}
UNTIL, LATER = "2026-11-02T12:00:00+00:00", "2026-11-02T13:00:00+00:00"


def wanted(**lines: int) -> dict[str, Any]:
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
    return {"checkout_id": "chk_1", "expires_at": UNTIL, "lines": items}


def reserve(client: Any, **lines: int) -> Any:
    return client.post("/reservations", json=wanted(**lines), headers=SERVICE)


def problem(answer: Any) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    return answer.status_code, answer.json["type"].removeprefix("urn:clozit:problem:")


def test_availability_is_public_capped_and_paginated(client: Any, stock: Any) -> None:
    stock.fill(TEE=5, SOCK=101, HAT=100).reserve("chk_1", TEE=3)
    first = client.get("/availability?limit=2").json
    second = client.get(f"/availability?limit=2&cursor={first['next_cursor']}").json
    assert first["items"] == [{"sku": "HAT", "available": 100}, {"sku": "SOCK", "available": 100}]
    assert second == {"items": [{"sku": "TEE", "available": 2}], "next_cursor": None}


def test_availability_of_some_skus_leaves_out_unknown_ones(client: Any, stock: Any) -> None:
    stock.fill(TEE=5, SOCK=2, HAT=1)
    answer = client.get("/availability?sku=TEE&sku=GHOST&sku=HAT")
    assert answer.json["items"] == [{"sku": "HAT", "available": 1}, {"sku": "TEE", "available": 5}]


@pytest.mark.parametrize("query", ["skus=TEE", "sku=", "limit=0", "cursor=nonsense"])
def test_invalid_availability_query_is_refused(client: Any, query: str) -> None:
    assert problem(client.get(f"/availability?{query}")) == (422, "invalid-request")


def test_shops_pages_may_read_the_availability(client: Any) -> None:
    answer = client.get("/availability", headers={"Origin": "https://shop.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_stock_is_paginated(client: Any, stock: Any) -> None:
    stock.fill(TEE=5, SOCK=2, HAT=1).reserve("chk_1", TEE=3)
    first = client.get("/stock?limit=2", headers=OPERATOR).json
    second = client.get(f"/stock?limit=2&cursor={first['next_cursor']}", headers=OPERATOR).json
    assert [item["sku"] for item in first["items"] + second["items"]] == ["HAT", "SOCK", "TEE"]
    assert second == {
        "items": [{"sku": "TEE", "on_hand": 5, "reserved": 3, "available": 2}],
        "next_cursor": None,
    }
    assert client.get("/stock/TEE", headers=OPERATOR).json == second["items"][0]


@pytest.mark.parametrize("cursor", ["nonsense", "WzFd", "W10"])  # no JSON; [1]; []
def test_cursor_of_another_list_is_refused(client: Any, cursor: str) -> None:
    assert problem(client.get(f"/stock?cursor={cursor}", headers=OPERATOR)) == (422, "invalid-request")


def test_unknown_sku_is_not_found(client: Any) -> None:
    assert problem(client.get("/stock/GHOST", headers=OPERATOR)) == (404, "sku-not-found")
    change = {"adjust": 1, "reason": "found"}
    assert problem(client.post("/stock/GHOST/movements", json=change, headers=OPERATOR)) == (404, "sku-not-found")
    assert problem(client.get("/stock/%00", headers=OPERATOR)) == (422, "invalid-request")


def test_operators_changes_are_listed_as_movements(client: Any, stock: Any) -> None:
    for change, on_hand in (({"on_hand": 8}, 8), ({"adjust": -3}, 5), ({"on_hand": 5}, 5)):
        answer = client.post("/stock/TEE/movements", json={**change, "reason": f"{change}"}, headers=OPERATOR)
        assert (answer.status_code, answer.json["on_hand"]) == (201, on_hand)
    first = client.get("/stock/TEE/movements?limit=1", headers=OPERATOR).json
    second = client.get(f"/stock/TEE/movements?cursor={first['next_cursor']}", headers=OPERATOR).json
    moved = [(item["delta"], item["kind"], item["actor"]) for item in first["items"] + second["items"]]
    assert moved == [(-3, "adjustment", "ana"), (8, "adjustment", "ana")]
    assert stock.pieces() == {"TEE": (5, 0)}


@pytest.mark.parametrize("change", [{"on_hand": 2}, {"adjust": -3}])
def test_change_below_the_reserved_pieces_is_refused(client: Any, stock: Any, change: Any) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)
    answer = client.post("/stock/TEE/movements", json={**change, "reason": "moths"}, headers=OPERATOR)
    assert problem(answer) == (409, "below-reserved")
    assert (answer.json["reserved"], answer.json["on_hand"]) == (3, 2)
    assert stock.pieces() == {"TEE": (5, 3)}


def test_stock_is_changed_only_by_movements(client: Any) -> None:
    answer = client.put("/stock/TEE", json={"on_hand": 8, "reason": "counted"}, headers=OPERATOR)
    assert problem(answer) == (405, "method-not-allowed")


def test_repeated_reservation_is_200_and_other_lines_conflict(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    made = reserve(client, TEE=2)
    assert (made.status_code, made.json) == (201, wanted(TEE=2) | {"status": "held"})
    assert reserve(client, TEE=2).status_code == 200
    assert problem(reserve(client, TEE=3)) == (409, "reservation-conflict")


def test_short_lines_are_listed(client: Any, stock: Any) -> None:
    stock.fill(TEE=5, SOCK=0)
    answer = reserve(client, TEE=2, SOCK=1)
    assert problem(answer) == (409, "out-of-stock")
    assert answer.json["lines"] == [{"sku": "SOCK", "requested": 1, "available": 0}]


def test_release_is_idempotent_and_final(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    reserve(client, TEE=2)
    for _ in range(2):
        assert client.delete("/reservations/chk_1", headers=SERVICE).status_code == 204
    assert client.delete("/reservations/chk_unknown", headers=SERVICE).status_code == 204
    assert stock.pieces() == {"TEE": (5, 0)}
    assert problem(reserve(client, TEE=2)) == (409, "reservation-conflict")


def test_sold_pieces_are_not_released(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=5)
    reserve(client, TEE=2)
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_1"))))
    answer = client.delete("/reservations/chk_1", headers=SERVICE)
    assert problem(answer) == (409, "reservation-committed")


def test_extension_sets_a_later_end_only(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    reserve(client, TEE=2)

    def extend(checkout_id: str, until: str) -> Any:
        return client.patch(f"/reservations/{checkout_id}", json={"expires_at": until}, headers=SERVICE)

    assert extend("chk_1", LATER).json["expires_at"] == LATER
    assert extend("chk_1", UNTIL).json["expires_at"] == LATER
    assert problem(extend("chk_2", LATER)) == (404, "reservation-not-found")
    client.delete("/reservations/chk_1", headers=SERVICE)
    assert problem(extend("chk_1", LATER)) == (409, "reservation-conflict")


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("GET", "/stock", SERVICE),
        ("GET", "/stock/TEE", SERVICE),
        ("POST", "/stock/TEE/movements", SERVICE),
        ("GET", "/stock/TEE/movements", SERVICE),
        ("POST", "/reservations", OPERATOR),
        ("DELETE", "/reservations/chk_1", OPERATOR),
        ("PATCH", "/reservations/chk_1", OPERATOR),
        ("GET", "/ops/inbox", SERVICE),
    ],
)
def test_each_route_requires_its_own_token(client: Any, method: str, path: str, token: Any) -> None:
    for headers in ({}, token, {"Authorization": "Bearer wrong"}):
        assert problem(client.open(path, method=method, headers=headers)) == (401, "unauthorized")


def test_openapi_lists_the_routes(client: Any) -> None:
    assert client.get("/readyz").status_code == 200
    paths = client.get("/openapi.json").json["paths"]
    assert {"/availability", "/stock", "/stock/{sku}", "/stock/{sku}/movements", "/reservations"} <= paths.keys()
