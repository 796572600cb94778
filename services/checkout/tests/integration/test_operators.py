"""The operators' routes of checkouts: list and cancel the open ones."""

from typing import Any

from checkout.models import Discount

OPERATOR = {"Authorization": "Bearer operator-token-0123"}


def listed(client: Any, query: str = "") -> list[str]:
    answer = client.get(f"/checkouts?{query}", headers=OPERATOR)
    assert answer.status_code == 200, answer.json
    return [item["checkout_id"] for item in answer.json["items"]]


def test_open_checkouts_are_listed_by_what_was_withdrawn(any_system: Any) -> None:
    client = any_system.create_app().test_client()
    with any_system.database.begin() as session:
        session.add(Discount(code="SPRING", percent_off=10, active=True))
    plain = any_system.start("key-1", customer_email="zoe@example.com").id
    cheaper = any_system.start("key-2", discount_code="SPRING").id
    canceled = any_system.start("key-3").id
    any_system.checkouts.cancel(canceled)
    assert listed(client) == [cheaper, plain]
    assert listed(client, "discount_code=spring") == [cheaper]
    assert listed(client, "customer_email=zoe@example.com") == [plain]
    assert listed(client, "sku=TEE-M") == [cheaper, plain]
    assert listed(client, "sku=CAP") == []
    assert listed(client, "status=canceled") == [canceled]
    first = client.get("/checkouts?limit=1", headers=OPERATOR).json
    assert listed(client, f"limit=1&cursor={first['next_cursor']}") == [plain]
    assert first["items"][0]["lines"][0]["sku"] == "TEE-M"
    for query in ("state=open", "status=gone", "limit=0", "cursor=x"):
        assert client.get(f"/checkouts?{query}", headers=OPERATOR).status_code == 422


def test_operator_cancels_an_open_checkout(client: Any, system: Any) -> None:
    checkout = system.start()
    path = f"/checkouts/{checkout.id}/cancel"
    assert client.post(path).status_code == client.get("/checkouts").status_code == 401
    for _ in range(2):
        answer = client.post(path, headers=OPERATOR)
        assert (answer.status_code, answer.json["status"]) == (200, "canceled")
    assert system.inventory.reservations == {}
    assert system.stripe.sessions["cs_test_1"]["status"] == "expired"
    assert system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]
    assert client.post("/checkouts/chk_unknown/cancel", headers=OPERATOR).status_code == 404
