from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.testing.bus import deliver
from events.testing.openapi import unlimited_lists
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory import ledger
from inventory.app import create_app
from inventory.chains import CHAINS
from inventory.config import load
from inventory.handlers import handlers
from inventory.models import OPENING

from services.inventory.tests.conftest import Stock

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
    stock.fill(TEE=5, SOCK=120, HAT=112).reserve("chk_1", TEE=3)
    first = client.get("/availability?limit=2").json
    second = client.get(f"/availability?limit=2&cursor={first['next_cursor']}").json
    assert first["items"] == [{"sku": "HAT", "available": 100}, {"sku": "SOCK", "available": 100}]
    assert second == {"items": [{"sku": "TEE", "available": 2}], "next_cursor": None}


def test_availability_of_some_skus_leaves_out_unknown_ones(client: Any, stock: Any) -> None:
    stock.fill(TEE=5, SOCK=2, HAT=1)
    answer = client.get("/availability?sku=TEE&sku=GHOST&sku=HAT")
    assert answer.json["items"] == [{"sku": "HAT", "available": 1}, {"sku": "TEE", "available": 5}]


@pytest.mark.parametrize("query", ["skus=TEE", "sku=", "limit=0", "cursor=nonsense", "&".join(["sku=TEE"] * 201)])
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
        "items": [{"sku": "TEE", "on_hand": 5, "reserved": 3, "available": 2, "deficit": 0, "sold_unshipped": 0}],
        "next_cursor": None,
    }
    assert client.get("/stock/TEE", headers=OPERATOR).json == second["items"][0]


@pytest.mark.parametrize("cursor", ["nonsense", "WzFd", "W10"])  # no JSON; [1]; []
def test_cursor_of_another_list_is_refused(client: Any, cursor: str) -> None:
    assert problem(client.get(f"/stock?cursor={cursor}", headers=OPERATOR)) == (422, "invalid-request")


def test_unknown_sku_is_not_found(client: Any) -> None:
    assert problem(client.get("/stock/GHOST", headers=OPERATOR)) == (404, "sku-not-found")
    change, keyed = {"adjust": 1, "reason": "found"}, OPERATOR | {"Idempotency-Key": "found-1"}
    assert problem(client.post("/stock/GHOST/movements", json=change, headers=keyed)) == (404, "sku-not-found")
    assert problem(client.get("/stock/%00", headers=OPERATOR)) == (422, "invalid-request")


def test_operators_changes_are_listed_as_movements(client: Any, stock: Any) -> None:
    counts = [({"on_hand": 8, "expected": 0}, 8), ({"adjust": -3}, 5), ({"on_hand": 5, "expected": 5}, 5)]
    for number, (change, on_hand) in enumerate(counts):
        answer = move(client, {**change, "reason": f"{change}"}, Idempotency_Key=f"key-{number}")
        assert (answer.status_code, answer.json["on_hand"]) == (201, on_hand)
    first = client.get("/stock/TEE/movements?limit=1", headers=OPERATOR).json
    second = client.get(f"/stock/TEE/movements?cursor={first['next_cursor']}", headers=OPERATOR).json
    moved = [(item["delta"], item["kind"], item["actor"]) for item in first["items"] + second["items"]]
    assert moved == [(-3, "adjustment", "ana"), (8, "adjustment", "ana")]
    assert stock.pieces() == {"TEE": (5, 0)}


def move(client: Any, change: dict[str, Any], **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/stock/TEE/movements", json={"reason": "moths", **change}, headers=OPERATOR | named)


@pytest.mark.parametrize("change", [{"on_hand": 2, "expected": 5}, {"adjust": -3, "expected": 5}])
def test_change_below_the_reserved_pieces_shows_the_deficit(client: Any, stock: Any, change: Any) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)
    answer = move(client, change)
    assert (answer.status_code, answer.json["deficit"], answer.json["available"]) == (201, 1, 0)
    assert stock.pieces() == {"TEE": (2, 3)}


def test_change_below_zero_is_refused(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    answer = move(client, {"adjust": -6}, Idempotency_Key="count-1")
    assert (problem(answer), answer.json["on_hand"]) == ((409, "below-zero"), 5)
    assert stock.pieces() == {"TEE": (5, 0)}


@pytest.mark.parametrize("change", [{"adjust": -2}, {"on_hand": 3, "expected": 5}])
def test_repeated_key_changes_the_stock_once(client: Any, stock: Any, change: Any) -> None:
    stock.fill(TEE=5)
    first, second = (move(client, change, Idempotency_Key="count-1") for _ in range(2))
    assert (first.status_code, second.status_code, second.json) == (201, 201, first.json)
    assert stock.pieces() == {"TEE": (3, 0)}
    other = move(client, {"adjust": -1}, Idempotency_Key="count-1")
    assert problem(other) == (409, "idempotency-key-reused")


def test_adjustment_needs_a_key_or_the_expected_value(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    assert problem(move(client, {"adjust": -2})) == (400, "idempotency-key-required")
    assert stock.pieces() == {"TEE": (5, 0)}
    first, second = (move(client, {"adjust": -2, "expected": 5}) for _ in range(2))
    assert (first.status_code, problem(second)) == (201, (409, "stock-changed"))
    assert stock.pieces() == {"TEE": (3, 0)}


def test_key_of_a_refused_change_can_be_used_again(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    assert problem(move(client, {"adjust": -6}, Idempotency_Key="count-1")) == (409, "below-zero")
    stock.fill(SOCK=1)
    move(client, {"adjust": 1}, Idempotency_Key="count-2")
    assert move(client, {"adjust": -6}, Idempotency_Key="count-1").json["on_hand"] == 0


def sell(database: Database, checkout_id: str, at: str) -> None:
    created = int(datetime.fromisoformat(at).timestamp())
    paid = stripe_event("checkout.session.completed", checkout_session(checkout_id), created=created)
    deliver(database, handlers, as_bus_event(paid))


def test_count_does_not_overwrite_sales_made_meanwhile(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=2)
    sell(database, "chk_1", "2026-11-02T10:30:00+00:00")
    seen = move(client, {"on_hand": 5, "expected": 5})
    assert (problem(seen), seen.json["on_hand"], seen.json["expected"]) == ((409, "stock-changed"), 3, 5)
    assert stock.pieces() == {"TEE": (3, 0)}


@pytest.mark.parametrize("is_first", [True, False])
def test_count_older_than_the_newest_is_refused(client: Any, stock: Any, *, is_first: bool) -> None:
    """Two people counted four of six pieces, and their counts arrive out of order; or both before the opening stock."""
    stock.fill(TEE=6)
    now = datetime.now(UTC)
    if not is_first:
        newer = {"on_hand": 4, "counted_at": (now + timedelta(seconds=5)).isoformat()}
        assert move(client, newer).json["on_hand"] == 4
    older = {"on_hand": 4, "counted_at": (now - timedelta(minutes=is_first)).isoformat()}
    assert problem(move(client, older)) == (409, "stale-count")
    assert stock.pieces() == {"TEE": (6 if is_first else 4, 0)}
    right = {"on_hand": 4, "expected": 6 if is_first else 4}
    assert move(client, right).json["on_hand"] == 4


def test_count_applies_to_the_ledger_as_of_its_instant(client: Any, stock: Any, database: Database) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    stock.fill(TEE=5).reserve("chk_1", TEE=2)
    counted_at = now + timedelta(seconds=2)
    sell(database, "chk_1", (now + timedelta(seconds=3)).isoformat())
    answer = move(client, {"on_hand": 6, "counted_at": counted_at.isoformat()})
    assert answer.json["on_hand"] == 4
    assert stock.pieces() == {"TEE": (4, 0)}
    again = move(client, {"on_hand": 6, "counted_at": counted_at.isoformat()})
    assert again.json["on_hand"] == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"on_hand": 5}, "expected"),
        ({"on_hand": 5, "expected": None}, "expected"),
        ({"on_hand": 5, "expected": 5, "counted_at": "2026-11-02T10:00:00Z"}, "expected"),
        ({"on_hand": 5, "counted_at": "2999-01-01T00:00:00Z"}, "counted_at"),
        ({"adjust": 1, "counted_at": "2026-11-02T10:00:00Z"}, "counted_at"),
        ({"adjust": 1, "reason": "  "}, "reason"),
        ({"adjust": None}, "adjust"),
        ({}, "on_hand"),
    ],
)
def test_unclear_change_is_refused(client: Any, stock: Any, change: Any, field: str) -> None:
    stock.fill(TEE=5)
    answer = move(client, change)
    assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid-request"), [field])
    assert stock.pieces() == {"TEE": (5, 0)}


def test_operators_see_who_holds_what(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=5, SOCK=2).reserve("chk_1", TEE=3)
    stock.reserve("chk_2", SOCK=1)
    stock.reserve("chk_3", TEE=1, SOCK=1)
    stock.release("chk_3")
    pending = checkout_session("chk_1", id="cs_1", payment_status="unpaid")
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", pending)))

    def listed(query: str) -> list[str]:
        items = client.get(f"/reservations?{query}", headers=OPERATOR).json["items"]
        return [item["checkout_id"] for item in items]

    assert listed("") == ["chk_3", "chk_2", "chk_1"]
    assert listed("status=held") == ["chk_2", "chk_1"]
    assert listed("sku=TEE&status=held") == listed("pending=true") == ["chk_1"]
    assert listed("pending=false") == ["chk_3", "chk_2"]
    assert listed("expires_before=2026-11-02T12:00:01Z") == ["chk_3", "chk_2"]
    first = client.get("/reservations?limit=2", headers=OPERATOR).json
    assert listed(f"limit=2&cursor={first['next_cursor']}") == ["chk_1"]
    [entry] = client.get("/reservations?pending=true", headers=OPERATOR).json["items"]
    assert entry["lines"] == [{"sku": "TEE", "quantity": 3, "missing": 0}]
    assert [(each["session_id"], each["payment_status"]) for each in entry["sessions"]] == [("cs_1", "unpaid")]
    assert problem(client.get("/reservations?state=held", headers=OPERATOR)) == (422, "invalid-request")


def test_operator_releases_a_reservation(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)

    def release(checkout_id: str, **body: Any) -> Any:
        return client.post(
            f"/reservations/{checkout_id}/release", json={"reason": "wrong cart", **body}, headers=OPERATOR
        )

    pending = checkout_session("chk_1", id="cs_1", payment_status="unpaid")
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", pending)))
    assert problem(release("chk_1")) == (409, "payment-pending")
    assert problem(client.delete("/reservations/chk_1", headers=SERVICE)) == (409, "payment-pending")
    assert stock.pieces() == {"TEE": (5, 3)}
    for _ in range(2):
        answer = release("chk_1", override=True)
        assert (answer.status_code, answer.json["status"]) == (200, "released")
    assert stock.pieces() == {"TEE": (5, 0)}
    assert problem(release("chk_2")) == (404, "reservation-not-found")
    assert problem(release("chk_1", reason="")) == (422, "invalid-request")


def test_stock_is_changed_only_by_movements(client: Any) -> None:
    answer = client.put("/stock/TEE", json={"on_hand": 8, "reason": "counted"}, headers=OPERATOR)
    assert problem(answer) == (405, "method-not-allowed")


def test_repeated_reservation_is_200_and_other_lines_conflict(client: Any, stock: Any) -> None:
    stock.fill(TEE=5)
    made = reserve(client, TEE=2)
    assert (made.status_code, made.json) == (201, wanted(TEE=2) | {"status": "held"})
    assert reserve(client, TEE=2).status_code == 200
    answer = reserve(client, TEE=3)
    assert problem(answer) == (409, "reservation-conflict")
    assert "Use a new checkout id." in answer.json["detail"]


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
    answer = extend("chk_1", LATER)  # a payment is under way, so its checkout id cannot change
    assert problem(answer) == (409, "reservation-conflict")
    assert answer.json["detail"] == (
        "The reservation of chk_1 is released and cannot be extended. Its pieces are not held: check the stock."
    )


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("GET", "/stock", SERVICE),
        ("GET", "/stock/TEE", SERVICE),
        ("POST", "/stock/TEE/movements", SERVICE),
        ("GET", "/stock/TEE/movements", SERVICE),
        ("GET", "/reservations", SERVICE),
        ("POST", "/reservations/chk_1/release", SERVICE),
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


def test_every_list_in_a_request_has_a_maximum_length(client: Any) -> None:
    assert unlimited_lists(client.get("/openapi.json").json) == []


def test_reservation_with_too_many_lines_is_refused_unread(client: Any) -> None:
    body = {"checkout_id": "chk_1", "expires_at": UNTIL, "lines": [{}] * 34_000}
    answer = client.post("/reservations", json=body, headers=SERVICE)
    assert answer.status_code == 422
    assert answer.json["errors"] == {"lines": ["Length must be between 1 and 100."]}


def test_availability_of_a_full_page_is_one_answer(client: Any, stock: Any) -> None:
    skus = [f"SKU-{number:03}" for number in range(200)]
    stock.fill(**dict.fromkeys(skus, 1))
    query = "&".join(f"sku={sku}" for sku in skus)
    answer = client.get(f"/availability?limit=200&{query}").json
    assert ([item["sku"] for item in answer["items"]], answer["next_cursor"]) == (skus, None)


def test_pages_of_an_origin_with_a_slash_may_read(monkeypatch: Any, database: Database) -> None:
    settings = {
        "BROKER_URL": "memory://",
        "DATABASE_URL": "sqlite:///x.db",
        "OPERATOR_TOKENS": "ana:operator-token-of-ana",
        "SERVICE_TOKEN": "service-token-of-tests",
        "ALLOWED_ORIGINS": "https://other.example, https://shop.example/",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = create_app(load(), database=database).test_client()
    answer = client.get("/availability", headers={"Origin": "https://shop.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_operators_release_is_not_undone_by_an_extension(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)
    pending = checkout_session("chk_1", id="cs_1", payment_status="unpaid")
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", pending)))
    body = {"reason": "never paid", "override": True}
    released = client.post("/reservations/chk_1/release", json=body, headers=OPERATOR).json
    answer = client.patch("/reservations/chk_1", json={"expires_at": LATER}, headers=SERVICE)
    assert problem(answer) == (409, "reservation-conflict")
    recovered = checkout_session("chk_1", id="cs_2", payment_status="unpaid")
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", recovered)))
    assert stock.pieces() == {"TEE": (5, 0)}
    [entry] = client.get("/reservations", headers=OPERATOR).json["items"]
    assert (entry["status"], entry["operator_released_at"]) == ("released", released["operator_released_at"])


def test_unpaid_checkouts_cannot_hold_all_of_a_sku(any_client: Any) -> None:
    client, stock = any_client
    stock.fill(TEE=20, SOCK=1)
    assert reserve(client, TEE=17, SOCK=1).status_code == 201
    assert client.get("/availability?sku=TEE").json["items"] == [{"sku": "TEE", "available": 1}]
    second = wanted(TEE=2) | {"checkout_id": "chk_2"}
    answer = client.post("/reservations", json=second, headers=SERVICE)
    assert problem(answer) == (409, "out-of-stock")
    assert answer.json["lines"] == [{"sku": "TEE", "requested": 2, "available": 1}]
    third = wanted(TEE=1) | {"checkout_id": "chk_3"}
    assert client.post("/reservations", json=third, headers=SERVICE).status_code == 201
    shown = client.get("/stock/TEE", headers=OPERATOR).json
    assert (shown["on_hand"], shown["reserved"], shown["available"]) == (20, 18, 2)


def test_paid_pieces_make_room_for_the_last_ones(client: Any, stock: Any, database: Database) -> None:
    stock.fill(TEE=20)
    assert reserve(client, TEE=18).status_code == 201
    deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_1"))))
    for number in (2, 3):
        body = wanted(TEE=1) | {"checkout_id": f"chk_{number}"}
        assert client.post("/reservations", json=body, headers=SERVICE).status_code == 201
        paid = checkout_session(f"chk_{number}", id=f"cs_{number}")
        deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", paid)))
    assert stock.pieces() == {"TEE": (0, 0)}


@pytest.fixture
def any_client(config: Any, any_database: Any) -> Any:
    """A client and the stock, once on SQLite and once on PostgreSQL."""
    database = any_database(CHAINS)
    return create_app(config, database=database).test_client(), Stock(database)


@pytest.mark.parametrize(("last", "status"), [("\u20ac", 201), ("\U0001f455", 422)])
def test_sku_has_at_most_the_bytes_of_a_message(client: Any, last: str, status: int) -> None:
    """63 characters of four bytes and one of three have 255 bytes, with one of four 256."""
    count = {"on_hand": 1, "expected": 0, "reason": "delivery"}
    answer = client.post(f"/stock/{chr(0x1F455) * 63}{last}/movements", json=count, headers=OPERATOR)
    assert answer.status_code == status
    if status == 422:
        assert answer.json["errors"] == {"sku": ["Use 1 to 64 printable characters, at most 255 bytes in UTF-8."]}


@pytest.mark.parametrize("pieces", [24_000_000, 2_000_000_000])
def test_reservation_of_a_very_large_stock_succeeds(any_client: Any, pieces: int) -> None:
    client, stock = any_client
    stock.fill(TEE=0)
    with stock.database.begin() as session:
        ledger.record_movement(
            session, ledger.lock_item(session, "TEE"), OPENING, pieces, reason="?", actor="?", occurred_at=utcnow()
        )
    assert reserve(client, TEE=3).status_code == 201
    assert stock.pieces() == {"TEE": (pieces, 3)}
