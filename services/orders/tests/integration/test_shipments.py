"""Shipments: parcels are recorded once, and only orders that may ship do."""

from flask.testing import FlaskClient

from services.orders.tests.harness import OrdersService, Purchase, post, problem_of


def test_parcels_ship_until_nothing_is_left(service: OrdersService, purchase: Purchase, client: FlaskClient) -> None:
    service.deliver(purchase.started())
    assert problem_of(post(client, service, "shipments")) == (409, "order-not-paid")
    service.deliver(purchase.completed())
    sent = {"carrier": "DHL", "tracking": "JD01", "tracking_url": "https://dhl.example/JD01"}
    one_tee = [{"sku": "TEE-M", "quantity": 1}]
    first = post(client, service, "shipments", "k1", lines=one_tee, **sent)
    assert (first.status_code, first.get_json()["lines"]) == (201, one_tee)
    assert service.order().fulfillment_status == "partial"
    assert post(client, service, "shipments", "k1", lines=one_tee, **sent).get_json() == first.get_json()
    assert problem_of(post(client, service, "shipments", "k1")) == (409, "idempotency-key-reused")
    too_many = post(client, service, "shipments", lines=[{"sku": "TEE-M", "quantity": 2}]).get_json()
    assert too_many["errors"]["lines"]["0"]["quantity"] == ["Only 1 of 2 can still be shipped."]
    assert post(client, service, "shipments").get_json()["lines"] == [*one_tee, {"sku": "SOCK", "quantity": 1}]
    assert problem_of(post(client, service, "shipments")) == (409, "nothing-to-ship")
    published = service.data_of("orders.order.shipped")
    assert (published[0]["carrier"], published[0]["shipped"]) == ("DHL", one_tee)
    assert [data["is_complete"] for data in published] == [False, True]
    shown = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert shown is not None
    assert (shown["fulfillment_status"], shown["shipments"][0]["tracking"]) == ("fulfilled", "JD01")
    assert "ana shipped 1 x TEE-M with DHL, tracking number JD01." in service.entry_texts()


def test_parcel_of_lines_needs_a_key(service: OrdersService, purchase: Purchase, client: FlaskClient) -> None:
    service.deliver(purchase.started(), purchase.completed())
    without = post(client, service, "shipments", "", lines=[{"sku": "TEE-M", "quantity": 1}])
    assert problem_of(without) == (400, "idempotency-key-required")
    assert service.data_of("orders.order.shipped") == []
    assert post(client, service, "shipments", "", all=True).status_code == 201


def test_pieces_refunded_with_restock_do_not_ship(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    post(client, service, "refunds", "k1", lines=[{"sku": "TEE-M", "quantity": 1}], restock=True)
    assert post(client, service, "shipments").get_json()["lines"][0] == {"sku": "TEE-M", "quantity": 1}
    assert service.order().fulfillment_status == "fulfilled"


def test_order_that_is_refunded_in_full_does_not_ship(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    post(client, service, "refunds", "k1")
    assert problem_of(post(client, service, "shipments")) == (409, "order-refunded")
