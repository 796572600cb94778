from typing import Any

import pytest
import stripe
from events.testing import http

from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession


def test_coupon_at_its_limit_is_refused(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"amount_off": 500, "currency": "eur", "duration": "once", "max_redemptions": 1})
    session = create_session(discounts=[{"coupon": coupon.id}])
    assert session.amount_total == 5738 - 500
    assert client.v1.coupons.retrieve(coupon.id).times_redeemed == 0  # counted when paid
    fake.pay(session.id)
    assert client.v1.coupons.retrieve(coupon.id).valid is False
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(discounts=[{"coupon": coupon.id}])
    assert raised.value.code == "coupon_expired"


def test_coupon_needs_an_amount_in_the_currency(client: stripe.StripeClient, create_session: CreateSession) -> None:
    dollars: Any = {"amount_off": 600, "currency": "usd", "duration": "once"}
    with pytest.raises(stripe.InvalidRequestError, match="in usd, the session in eur"):
        create_session(discounts=[{"coupon": client.v1.coupons.create(dollars).id}])
    both = client.v1.coupons.create(dollars | {"currency_options": {"eur": {"amount_off": 500}}})
    assert create_session(discounts=[{"coupon": both.id}]).amount_total == 5738 - 500


def test_percentage_is_rounded_to_the_currencys_step(
    client: stripe.StripeClient, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"percent_off": 15})
    price = {"currency": "isk", "unit_amount": 299_000, "product_data": {"name": "Lopapeysa"}}
    session = create_session(
        line_items=[{"price_data": price, "quantity": 1}],
        discounts=[{"coupon": coupon.id}],
        shipping_options=None,
    )
    assert session.total_details is not None
    assert session.total_details.amount_discount == 44_900  # 448.50 krónur


def test_promotion_code_below_its_minimum_is_refused(
    client: stripe.StripeClient, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"percent_off": 10})
    promotion: Any = {"type": "coupon", "coupon": coupon.id}
    limits: Any = {"minimum_amount": 10_000, "minimum_amount_currency": "eur"}
    client.v1.promotion_codes.create({"promotion": promotion, "code": "BIG", "restrictions": limits})
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.promotion_codes.create({"promotion": promotion, "code": "big"})
    assert raised.value.code == "resource_already_exists"
    session = create_session(allow_promotion_codes=True)
    form = {"promotion_code": "BIG", "update": "code"}
    assert "for orders of €100.00 or more" in http.post(str(session.url), data=form).text


def test_coupon_for_some_products_reduces_only_them(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session(allow_promotion_codes=True)
    shirts, socks = fake.line_items(session.id)
    bound: Any = {"percent_off": 50, "applies_to": {"products": [socks["price"]["product"]]}}
    coupon = client.v1.coupons.create(bound)
    assert "applies_to" not in coupon, "Stripe shows it only where it is expanded"
    expanded = client.v1.coupons.retrieve(coupon.id, {"expand": ["applies_to"]})
    assert expanded.applies_to is not None
    assert expanded.applies_to.products == [socks["price"]["product"]]
    client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SOCKS"})
    http.post(str(session.url), data={"promotion_code": "SOCKS", "update": "code"})
    assert [line["amount_discount"] for line in (shirts, socks)] == [0, 625]
    assert fake.session(session.id)["amount_total"] == 5738 - 625


def test_coupon_for_an_unknown_product_is_refused(client: stripe.StripeClient) -> None:
    unknown: Any = {"percent_off": 50, "applies_to": {"products": ["prod_unknown"]}}
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.coupons.create(unknown)
    assert (raised.value.code, raised.value.param) == ("resource_missing", "applies_to[products][0]")
