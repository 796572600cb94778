from decimal import Decimal
from typing import Any

import pytest
import stripe

from demo.fake_stripe.server import FakeStripe
from demo.fake_stripe.taxes import Rate, Tax, tax

from .conftest import CreateSession

INCLUSIVE, EXCLUSIVE = Rate(Decimal(19), inclusive=True), Rate(Decimal(10), inclusive=False)


@pytest.mark.parametrize(
    ("rates", "currency", "expected"),
    [
        ([], "eur", Tax(0, 0)),
        ([INCLUSIVE], "eur", Tax(1900, 0)),
        ([EXCLUSIVE], "eur", Tax(1190, 1190)),
        ([INCLUSIVE, EXCLUSIVE], "eur", Tax(2900, 1000)),
        ([EXCLUSIVE], "kwd", Tax(1190, 1190)),
        ([INCLUSIVE], "isk", Tax(1900, 0)),
        ([Rate(Decimal("8.1"), inclusive=True)], "chf", Tax(892, 0)),
    ],
)
def test_tax_follows_rates_and_currency(rates: list[Rate], currency: str, expected: Tax) -> None:
    assert tax(11_900, rates, currency) == expected


@pytest.mark.parametrize("inclusive", [True, False])
def test_fixed_rate_applies_after_the_discount(
    client: stripe.StripeClient, create_session: CreateSession, cart: dict[str, Any], inclusive: bool
) -> None:
    rate = client.v1.tax_rates.create({"display_name": "VAT", "inclusive": inclusive, "percentage": 19})
    coupon = client.v1.coupons.create({"amount_off": 2500, "currency": "eur"})
    taxed, untaxed = cart["line_items"]
    lines = [{**taxed, "tax_rates": [rate.id]}, untaxed]
    session = create_session(line_items=lines, discounts=[{"coupon": coupon.id}], expand=["line_items"])
    assert session.line_items is not None
    shirts, socks = session.line_items.data
    net = shirts.amount_subtotal - shirts.amount_discount
    expected = net - round(net / 1.19) if inclusive else round(net * 0.19)
    assert (shirts.amount_tax, socks.amount_tax) == (expected, 0)
    assert session.total_details is not None
    assert session.total_details.amount_tax == expected
    assert session.amount_total == 5248 - 2500 + 490 + (0 if inclusive else expected)


def test_wrong_tax_parameters_are_refused(
    client: stripe.StripeClient, create_session: CreateSession, cart: dict[str, Any]
) -> None:
    rate = client.v1.tax_rates.create({"display_name": "VAT", "inclusive": True, "percentage": 19})
    lines = [{**cart["line_items"][0], "tax_rates": [rate.id]}]
    with pytest.raises(stripe.InvalidRequestError, match="together with"):
        create_session(line_items=lines, automatic_tax={"enabled": True})
    client.v1.tax_rates.update(rate.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        create_session(line_items=lines)


def test_inclusive_prices_keep_the_total_in_every_country(fake: FakeStripe, create_session: CreateSession) -> None:
    price = {"currency": "eur", "unit_amount": 11_900, "tax_behavior": "inclusive", "product_data": {"name": "Coat"}}
    parcel = {"display_name": "Parcel", "fixed_amount": {"amount": 500, "currency": "eur"}, "type": "fixed_amount"}
    session = create_session(
        line_items=[{"price_data": price, "quantity": 1}],
        shipping_options=[{"shipping_rate_data": {**parcel, "tax_behavior": "exclusive"}}],
        automatic_tax={"enabled": True},
    )
    assert (session.amount_total, session.automatic_tax.status) == (12_400, "requires_location_inputs")
    fake.pay(session.id, country="DE")
    paid = fake.session(session.id)
    assert paid["amount_total"] == 12_400 + 95
    assert paid["total_details"] == {"amount_discount": 0, "amount_shipping": 500, "amount_tax": 1995}
    assert paid["shipping_cost"]["amount_total"] == 595
