"""The API: what the success page shows, and what operators find."""

from typing import Any

from events.testing.openapi import unlimited_lists
from flask.testing import FlaskClient

from services.orders.tests.harness import OPERATOR, OrdersService, Purchase


def test_success_page_shows_no_personal_data(service: OrdersService, purchase: Purchase, client: FlaskClient) -> None:
    early = client.get(f"/orders/by-session/{purchase.session_id}")
    assert (early.status_code, early.headers["Retry-After"]) == (404, "1")
    service.deliver(purchase.started(), purchase.completed())
    shown = client.get(f"/orders/by-session/{purchase.session_id}", headers={"Origin": "https://shop.example"})
    assert shown.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    body: Any = shown.get_json()
    assert (body["status"], body["amount_total"], body["amount_shipping"]) == ("paid", 5738, 490)
    assert b"zoe" not in shown.data


def test_operators_search_and_read(service: OrdersService, client: FlaskClient) -> None:
    purchases = [Purchase(f"chk_{number}") for number in range(3)]
    for purchase in purchases:
        service.deliver(purchase.started())
    service.deliver(purchases[0].completed())
    assert client.get("/orders").status_code == 401

    def get(path: str) -> Any:
        return client.get(path, headers=OPERATOR).get_json()

    def found(query: str) -> list[str]:
        return [row["checkout_id"] for row in get(f"/orders?{query}")["items"]]

    assert found("") == ["chk_2", "chk_1", "chk_0"]
    assert found("status=paid") == found("email=ZOE@example.com") == found("session_id=cs_chk_0") == ["chk_0"]
    assert found("payment_intent=pi_chk_0") == ["chk_0"]
    first = get("/orders?limit=2")
    assert found(f"limit=2&cursor={first['next_cursor']}") == ["chk_0"]
    assert client.get("/orders?cursor=nonsense", headers=OPERATOR).status_code == 422
    detail = get(f"/orders/{first['items'][0]['id']}")
    assert [line["sku"] for line in detail["lines"]] == ["TEE-M", "SOCK"]
    assert detail["timeline"][0]["kind"] == "started"


def test_unknown_order_is_a_problem(client: FlaskClient) -> None:
    answer = client.get("/orders/ord_unknown", headers=OPERATOR)
    body: Any = answer.get_json()
    assert (answer.status_code, body["type"]) == (404, "urn:clozit:problem:order-not-found")
    assert body["detail"] == "There is no order ord_unknown. Check the id."


def test_operators_see_what_the_customer_entered(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    address = {"line1": "Rue de la Paix 1", "city": "Paris", "country": "FR"}
    details = {"email": "zoe@example.com", "name": "Zoë", "phone": "+33100000000"}
    collected = {"shipping_details": {"name": "Zoë Müller", "address": address}}
    service.deliver(purchase.started(), purchase.completed(customer_details=details, collected_information=collected))
    shown: Any = client.get(f"/orders/{service.order().id}", headers=OPERATOR).get_json()
    assert (shown["shipping_name"], shown["shipping_address"]) == ("Zoë Müller", address)
    assert shown["customer_phone"] == "+33100000000"


def test_every_list_in_a_request_has_a_maximum_length(client: Any) -> None:
    assert unlimited_lists(client.get("/openapi.json").json) == []
