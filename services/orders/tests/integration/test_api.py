"""The API: what the success page shows, and what operators find."""

from dataclasses import replace
from typing import Any

import pytest
from events.testing.fixtures import MakeDatabase
from events.testing.openapi import unlimited_lists
from events.web.pagination import encode_cursor
from flask.testing import FlaskClient
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config

from services.orders.tests.harness import OPERATOR, FakeRefundGateway, OrdersService, Purchase


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
    assert body["detail"] == "There is no order ord_unknown. Check its id or number."


def test_every_route_of_an_order_takes_its_number(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    routes = f"/orders/{service.order().number.lower()}"

    def post(action: str, **body: Any) -> str:
        headers = OPERATOR | {"Idempotency-Key": action}
        answer: Any = client.post(f"{routes}/{action}", json=body, headers=headers).get_json()
        return str(answer.get("type", "accepted"))

    assert client.get(routes, headers=OPERATOR).status_code == 200
    assert post("refunds", lines=[{"sku": "TEE-M", "quantity": 1}]) == "accepted"
    assert post("review", decision="accept") == "urn:clozit:problem:nothing-to-review"
    assert post("shipments", all=True, carrier="DHL") == "accepted"
    assert post("cancel", refund=False) == "urn:clozit:problem:order-shipped"


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


def test_order_is_found_by_its_number(service: OrdersService, purchase: Purchase, client: FlaskClient) -> None:
    service.deliver(purchase.started())
    order = service.order()
    for name in (order.number, order.number.lower(), order.id):
        shown: Any = client.get(f"/orders/{name}", headers=OPERATOR).get_json()
        assert (shown["id"], shown["number"]) == (order.id, order.number)
    assert client.get("/orders/CL-00000000", headers=OPERATOR).status_code == 404


@pytest.mark.parametrize("session_id", ["chk_1", "cs_", "cs_a%20b", "pi_1", "cs_" + "x" * 300, "{CHECKOUT_SESSION_ID}"])
def test_garbage_session_id_is_not_found_for_good(client: FlaskClient, session_id: str) -> None:
    answer = client.get(f"/orders/by-session/{session_id}")
    body: Any = answer.get_json()
    assert (answer.status_code, body["type"]) == (404, "urn:clozit:problem:order-not-found")
    assert "Retry-After" not in answer.headers
    assert "Check the link." in body["detail"]


def test_unstorable_text_does_not_stop_a_paid_order(any_database: MakeDatabase, config: Config) -> None:
    database = any_database(CHAINS)
    service, purchase = OrdersService(database), Purchase("chk_1")
    completed = purchase.completed(customer_details={"email": "zoe@example.com", "name": "Zo@e"})
    for text in (rb"\u0000", rb"\ud800"):
        event = replace(
            completed,
            id=f"evt_{len(text)}{text.decode()[-1:]}",
            body=completed.body.replace(b"Zo@e", b"Zo" + text + b"e"),
        )
        service.deliver(purchase.started(), event)
    assert (service.order().status, service.order().customer_name) == ("paid", "Zoe")


@pytest.mark.parametrize(
    "path",
    [
        "/orders/by-session/%00",
        "/orders/%00",
        "/orders?email=%00",
        "/orders?cursor=WyJcdTAwMDAiXQ",
        "/orders?created_from=0001-01-01T00:00:00%2B14:00",
        "/orders?needs_reveiw=true",
        "/orders/ord_1?needs_review=true",
        "/ops/inbox/%00",
        "/ops/inbox/audit?cursor=W3RydWVd",
        f"/ops/inbox/audit?cursor={encode_cursor(2**31)}",
        "/ops/inbox/audit?event_id=%00",
        "/ops/inbox?received_to=9999-12-31T23:59:59-14:00",
    ],
)
def test_hostile_text_is_refused_by_field(any_database: MakeDatabase, config: Config, path: str) -> None:
    client = create_app(config, database=any_database(CHAINS), gateway=FakeRefundGateway()).test_client()
    answer = client.get(path, headers=OPERATOR)
    body: Any = answer.get_json()
    assert (answer.status_code, body["type"]) == (422, "urn:clozit:problem:invalid-request")
    assert body["errors"]


def test_largest_integer_of_a_cursor_is_accepted(any_database: MakeDatabase, config: Config) -> None:
    client = create_app(config, database=any_database(CHAINS), gateway=FakeRefundGateway()).test_client()
    answer = client.get(f"/ops/inbox/audit?cursor={encode_cursor(2**31 - 1)}", headers=OPERATOR)
    assert answer.status_code == 200
