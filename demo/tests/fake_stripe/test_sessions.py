import time
import typing

import pytest
import stripe
from stripe.params.checkout import _session_create_params as sdk

from demo.fake_stripe.params.countries import ALLOWED_COUNTRIES
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession, Receiver


def test_new_session_has_every_amount(create_session: CreateSession) -> None:
    session = create_session()
    assert session.object == "checkout.session"
    assert (session.amount_subtotal, session.amount_total) == (5248, 5738)
    assert session.total_details is not None
    assert session.total_details.amount_shipping == 490
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.payment_intent is None
    assert session.expires_at == session.created + 24 * 3600
    assert session.url is not None
    assert session.url.endswith(f"/c/pay/{session.id}")


def test_line_items_show_only_when_expanded(client: stripe.StripeClient, create_session: CreateSession) -> None:
    session = create_session()
    assert "line_items" not in session.to_dict()
    expanded = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items.data.price.product"]})
    assert expanded.line_items is not None
    shirt = expanded.line_items.data[0]
    assert (shirt.description, shirt.quantity, shirt.amount_total) == ("T-shirt, gray", 2, 3998)
    assert shirt.price is not None
    assert isinstance(shirt.price.product, stripe.Product)
    assert shirt.price.product.metadata["sku"] == "TS-GRAY-M"
    listed = client.v1.checkout.sessions.line_items.list(session.id, {"limit": 1})
    assert [item.id for item in listed.data] == [shirt.id]
    assert listed.has_more


def test_session_can_use_prices_of_the_catalog(client: stripe.StripeClient, create_session: CreateSession) -> None:
    product = client.v1.products.create({"name": "Scarf", "metadata": {"sku": "SCARF"}})
    price = client.v1.prices.create({"product": product.id, "currency": "eur", "unit_amount": 2500})
    session = create_session(line_items=[{"price": price.id, "quantity": 3}])
    assert session.amount_subtotal == 7500
    client.v1.prices.update(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        create_session(line_items=[{"price": price.id, "quantity": 1}])


def test_discount_applies_to_lines_but_not_to_shipping(
    client: stripe.StripeClient, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"percent_off": 10, "duration": "once"})
    code = client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    for discount in ({"coupon": coupon.id}, {"promotion_code": code.id}):
        session = create_session(discounts=[discount], expand=["line_items"])
        assert session.total_details is not None
        assert session.total_details.amount_discount == 525
        assert session.amount_total == 5248 - 525 + 490
        assert session.line_items is not None
        assert sum(line.amount_discount for line in session.line_items.data) == 525


def test_open_session_expires_once(
    client: stripe.StripeClient, create_session: CreateSession, receiver: Receiver
) -> None:
    session = create_session(after_expiration={"recovery": {"enabled": True}})
    expired = client.v1.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    event = receiver.wait_for("checkout.session.expired")[0].event
    assert "/r/" in event["data"]["object"]["after_expiration"]["recovery"]["url"]
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        client.v1.checkout.sessions.expire(session.id)


def test_complete_session_cannot_be_expired(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id)
    with pytest.raises(stripe.InvalidRequestError, match="status of complete"):
        client.v1.checkout.sessions.expire(session.id)


def test_session_expires_at_its_time(fake: FakeStripe, create_session: CreateSession, receiver: Receiver) -> None:
    session = create_session(expires_at=int(time.time()) + 1900)
    fake.advance(1800)
    assert fake.session(session.id)["status"] == "open"
    fake.advance(200)
    receiver.wait_for("checkout.session.expired")
    assert fake.session(session.id)["status"] == "expired"


@pytest.mark.parametrize("ahead", [60, 29 * 60, 25 * 3600])
def test_expiry_outside_stripes_limits_is_refused(create_session: CreateSession, ahead: int) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(expires_at=int(time.time()) + ahead)
    assert raised.value.param == "expires_at"


def test_sessions_are_listed_newest_first_and_by_payment_intent(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    first, second, third = create_session(), create_session(), create_session()
    fake.pay(second.id)
    listed = client.v1.checkout.sessions.list({"limit": 2})
    assert [session.id for session in listed.data] == [third.id, second.id]
    assert listed.has_more
    assert [session.id for session in listed.auto_paging_iter()] == [third.id, second.id, first.id]
    intent = fake.session(second.id)["payment_intent"]
    by_intent = client.v1.checkout.sessions.list({"payment_intent": intent})
    assert [session.id for session in by_intent.data] == [second.id]
    recent = client.v1.checkout.sessions.list({"created": {"gte": first.created + 3600}})
    assert recent.data == []


def shirt(**product: object) -> list[object]:
    data = {"name": "T-shirt", **product}
    return [{"price_data": {"currency": "eur", "unit_amount": 1999, "product_data": data}, "quantity": 1}]


def priced(currency: str, unit_amount: int) -> list[object]:
    price = {"currency": currency, "unit_amount": unit_amount, "product_data": {"name": "Sofa"}}
    return [{"price_data": price, "quantity": 1}]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"shipping_address_collection": {"allowed_countries": ["DE", "UK"]}},
         "shipping_address_collection[allowed_countries][1]", None),
        ({"shipping_address_collection": {"allowed_countries": ["KP"]}},
         "shipping_address_collection[allowed_countries][0]", None),
        ({"line_items": shirt(tax_code="txcd_1")}, "line_items[0][price_data][product_data][tax_code]",
         "resource_missing"),
        ({"line_items": shirt(images=["https://shop.test/a b.jpg"])},
         "line_items[0][price_data][product_data][images][0]", "url_invalid"),
        ({"line_items": shirt(images=["/tee.svg"])}, "line_items[0][price_data][product_data][images][0]",
         "url_invalid"),
        ({"line_items": shirt(description="  ")}, "line_items[0][price_data][product_data][description]",
         "parameter_invalid_empty"),
        ({"customer_email": "zoe@m\u00fcller.de"}, "customer_email", "email_invalid"),
        ({"customer_email": "zoe@-example.com"}, "customer_email", "email_invalid"),
        ({"line_items": priced("eur", 100_000_000)}, "line_items[0][price_data][unit_amount]", "amount_too_large"),
        ({"line_items": priced("eur", 99_999_999)}, "line_items", "amount_too_large"),
    ],
)  # fmt: skip
def test_values_that_stripe_refuses_are_refused(
    create_session: CreateSession, changes: dict[str, object], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(**changes)
    assert (raised.value.param, raised.value.code) == (param, code)


def test_rupiah_may_have_twelve_digits(create_session: CreateSession) -> None:
    session = create_session(line_items=priced("idr", 105_000_000), shipping_options=None)
    assert session.amount_total == 105_000_000


def test_allowed_countries_are_those_of_the_sdk() -> None:
    params = sdk.SessionCreateParamsShippingAddressCollection
    [countries] = typing.get_args(typing.get_type_hints(params, vars(sdk))["allowed_countries"])
    literal = next(each for each in typing.get_args(countries) if typing.get_origin(each) is typing.Literal)
    assert set(typing.get_args(literal)) == ALLOWED_COUNTRIES


def test_forgetting_keeps_open_sessions_and_new_objects(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession, cart: dict[str, typing.Any]
) -> None:
    key: typing.Any = {"idempotency_key": "key-1"}
    paid, left = create_session(key), create_session()
    fake.pay(paid.id)
    assert fake.wait_event("charge.updated")
    assert fake.wait_delivered()
    fake.advance(100)
    new = create_session()
    fake.pay(new.id)
    assert fake.wait_event("charge.updated", 2)
    assert fake.wait_delivered()
    fake.forget(50)
    sessions = client.v1.checkout.sessions
    assert {session.id for session in sessions.list().data} == {left.id, new.id}
    assert [event["type"] for event in fake.events("checkout.session.*")] == ["checkout.session.completed"]
    assert create_session(key).id != paid.id
    fake.pay(left.id)
