from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from checkout.models import Checkout
from checkout.problems import StripeRejected, StripeUnavailable
from checkout.stripe_sessions import StripeSessions, coupon_params, session_params

LINE = {
    "sku": "TEE-M",
    "name": "T-shirt, M",
    "description": None,
    "image": "https://shop.test/tee.svg",
    "tax_code": "txcd_30011000",
    "quantity": 2,
    "unit_amount": 2499,
    "amount_total": 4498,
}


def agreed(**values: Any) -> Checkout:
    return Checkout(
        **{
            "id": "chk_1",
            "currency": "eur",
            "lines": [LINE],
            "amount_discount": 0,
            "success_url": "https://shop.test/success",
            "cancel_url": "https://shop.test/cancel",
            "expires_at": datetime(2026, 5, 4, 10, 33, tzinfo=UTC),
            "automatic_tax": False,
            "page": {},
        }
        | values
    )


def test_plain_checkout_asks_for_no_more_than_it_needs() -> None:
    assert session_params(agreed()) == {
        "mode": "payment",
        "client_reference_id": "chk_1",
        "metadata": {"checkout_id": "chk_1"},
        "payment_intent_data": {"metadata": {"checkout_id": "chk_1"}},
        "line_items": [
            {
                "quantity": 2,
                "price_data": {
                    "currency": "eur",
                    "unit_amount": 2499,
                    "product_data": {
                        "name": "T-shirt, M",
                        "metadata": {"sku": "TEE-M"},
                        "images": ["https://shop.test/tee.svg"],
                        "tax_code": "txcd_30011000",
                    },
                },
            }
        ],
        "success_url": "https://shop.test/success",
        "cancel_url": "https://shop.test/cancel",
        "expires_at": 1777890780,
        "after_expiration": {"recovery": {"enabled": True}},
        "automatic_tax": {"enabled": False},
    }


def test_discount_is_the_amount_that_was_shown() -> None:
    checkout = agreed(amount_discount=500, discount_code="SPRING")
    assert session_params(checkout)["discounts"] == [{"coupon": "chk_1"}]
    assert coupon_params(checkout)["amount_off"] == 500
    assert coupon_params(checkout)["name"] == "SPRING"


def test_shipping_is_a_fixed_amount_with_its_days() -> None:
    shipping = {"id": "standard", "name": "Standard", "amount": 490, "min_days": 2, "max_days": 4}
    [option] = session_params(agreed(shipping=shipping))["shipping_options"]
    assert option["shipping_rate_data"]["fixed_amount"] == {"amount": 490, "currency": "eur"}
    assert option["shipping_rate_data"]["delivery_estimate"]["maximum"] == {"unit": "business_day", "value": 4}


def test_taxes_are_included_in_what_was_shown() -> None:
    shipping = {"id": "standard", "name": "Standard", "amount": 490, "min_days": 2, "max_days": 4}
    params = session_params(agreed(automatic_tax=True, shipping=shipping))
    assert params["line_items"][0]["price_data"]["tax_behavior"] == "inclusive"
    assert params["shipping_options"][0]["shipping_rate_data"]["tax_behavior"] == "inclusive"


def test_taxes_come_on_top_where_the_product_says_so() -> None:
    exclusive = agreed(automatic_tax=True, lines=[LINE | {"tax_behavior": "exclusive", "tax_rates": ["txr_1"]}])
    [item] = session_params(exclusive)["line_items"]
    assert item["price_data"]["tax_behavior"] == "exclusive"
    assert "tax_rates" not in item  # Stripe takes either


def test_fixed_rates_are_for_shops_without_automatic_tax() -> None:
    [item] = session_params(agreed(lines=[LINE | {"tax_behavior": "inclusive", "tax_rates": ["txr_1"]}]))["line_items"]
    assert item["tax_rates"] == ["txr_1"]
    assert "tax_behavior" not in item["price_data"]


def test_page_asks_for_what_the_settings_say() -> None:
    page = {
        "shipping_countries": ["DE", "AT"],
        "phone": True,
        "billing_address": "required",
        "terms_of_service": True,
        "consent_promotions": True,
        "promotion_codes": True,
    }
    params = session_params(agreed(page=page))
    assert {name: params[name] for name in params.keys() - session_params(agreed()).keys()} == {
        "allow_promotion_codes": True,
        "shipping_address_collection": {"allowed_countries": ["DE", "AT"]},
        "phone_number_collection": {"enabled": True},
        "billing_address_collection": "required",
        "consent_collection": {"terms_of_service": "required", "promotions": "auto"},
    }
    assert params["after_expiration"] == {"recovery": {"enabled": True, "allow_promotion_codes": True}}


def test_page_that_asks_for_nothing_more_is_plain() -> None:
    quiet = {"shipping_countries": [], "phone": False, "billing_address": "auto", "promotion_codes": False}
    assert session_params(agreed(page=quiet)) == session_params(agreed())


class Answering(stripe.HTTPClient):
    name = "answering"

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__()
        self._answer = status, error

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        status, error = self._answer
        return f'{{"error": {{"type": "{error["type"]}", "code": "{error.get("code")}"}}}}', status, {}


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", StripeRejected),
        (404, "invalid_request_error", StripeRejected),
        (402, "card_error", StripeRejected),
        (400, "idempotency_error", StripeUnavailable),  # made by another release's parameters: not known what
        (401, "invalid_request_error", StripeUnavailable),
        (403, "invalid_request_error", StripeUnavailable),
        (409, "idempotency_error", StripeUnavailable),
        (429, "invalid_request_error", StripeUnavailable),
        (500, "api_error", StripeUnavailable),
    ],
)
def test_only_a_refusal_of_our_parameters_means_that_nothing_was_done(
    status: int, kind: str, expected: type[Exception]
) -> None:
    sessions = StripeSessions(
        "sk_test_1", "https://stripe.test", http_client=Answering(status, {"type": kind}), retries=0
    )
    with pytest.raises(expected):
        sessions.create(agreed())
