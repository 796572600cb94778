"""The parameters of sessions and coupons, and the meaning of Stripe's errors."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from checkout.errors import StripeAwayError, StripeRejectedError
from checkout.models import Checkout
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


def make_checkout(**values: Any) -> Checkout:
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
            "session_options": {},
        }
        | values
    )


def test_plain_checkout_has_only_the_required_params() -> None:
    assert session_params(make_checkout()) == {
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


def test_discount_is_a_coupon_of_the_amount_shown() -> None:
    checkout = make_checkout(amount_discount=500, discount_code="SPRING")
    assert session_params(checkout)["discounts"] == [{"coupon": "chk_1"}]
    assert coupon_params(checkout)["amount_off"] == 500
    assert coupon_params(checkout)["name"] == "SPRING"


def test_shipping_is_a_fixed_amount_with_its_days() -> None:
    shipping = {"id": "standard", "name": "Standard", "amount": 490, "min_days": 2, "max_days": 4}
    [option] = session_params(make_checkout(shipping=shipping))["shipping_options"]
    assert option["shipping_rate_data"]["fixed_amount"] == {"amount": 490, "currency": "eur"}
    assert option["shipping_rate_data"]["delivery_estimate"]["maximum"] == {"unit": "business_day", "value": 4}


def test_automatic_tax_is_inclusive_by_default() -> None:
    shipping = {"id": "standard", "name": "Standard", "amount": 490, "min_days": 2, "max_days": 4}
    params = session_params(make_checkout(automatic_tax=True, shipping=shipping))
    assert params["line_items"][0]["price_data"]["tax_behavior"] == "inclusive"
    assert params["shipping_options"][0]["shipping_rate_data"]["tax_behavior"] == "inclusive"


def test_exclusive_product_gets_the_tax_on_top() -> None:
    exclusive = make_checkout(automatic_tax=True, lines=[LINE | {"tax_behavior": "exclusive", "tax_rates": ["txr_1"]}])
    [item] = session_params(exclusive)["line_items"]
    assert item["price_data"]["tax_behavior"] == "exclusive"
    assert "tax_rates" not in item  # Stripe accepts only one of the two


def test_fixed_tax_rates_are_used_without_automatic_tax() -> None:
    [item] = session_params(make_checkout(lines=[LINE | {"tax_behavior": "inclusive", "tax_rates": ["txr_1"]}]))[
        "line_items"
    ]
    assert item["tax_rates"] == ["txr_1"]
    assert "tax_behavior" not in item["price_data"]


def test_session_options_set_the_params() -> None:
    options = {
        "shipping_countries": ["DE", "AT"],
        "collect_phone": True,
        "billing_address": "required",
        "require_terms_of_service": True,
        "consent_promotions": True,
        "allow_promotion_codes": True,
    }
    params: dict[str, Any] = {**session_params(make_checkout(session_options=options))}
    assert {name: params[name] for name in params.keys() - session_params(make_checkout()).keys()} == {
        "allow_promotion_codes": True,
        "shipping_address_collection": {"allowed_countries": ["DE", "AT"]},
        "phone_number_collection": {"enabled": True},
        "billing_address_collection": "required",
        "consent_collection": {"terms_of_service": "required", "promotions": "auto"},
    }
    assert params["after_expiration"] == {"recovery": {"enabled": True, "allow_promotion_codes": True}}


def test_empty_session_options_set_no_params() -> None:
    options = {
        "shipping_countries": [],
        "collect_phone": False,
        "billing_address": "auto",
        "allow_promotion_codes": False,
    }
    assert session_params(make_checkout(session_options=options)) == session_params(make_checkout())


class FailingStripe(stripe.HTTPClient):
    """Answers every call with one error."""

    name = "failing"

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__()
        self._answer = status, error

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        status, error = self._answer
        return f'{{"error": {{"type": "{error["type"]}", "code": "{error.get("code")}"}}}}', status, {}


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", StripeRejectedError),
        (404, "invalid_request_error", StripeRejectedError),
        (402, "card_error", StripeRejectedError),
        (
            400,
            "idempotency_error",
            StripeAwayError,
        ),  # made by another release: its outcome is unknown
        (401, "invalid_request_error", StripeAwayError),
        (403, "invalid_request_error", StripeAwayError),
        (409, "idempotency_error", StripeAwayError),
        (429, "invalid_request_error", StripeAwayError),
        (500, "api_error", StripeAwayError),
    ],
)
def test_only_invalid_parameters_count_as_rejected(status: int, kind: str, expected: type[Exception]) -> None:
    sessions = StripeSessions(
        "sk_test_1", "https://stripe.test", http_client=FailingStripe(status, {"type": kind}), retries=0
    )
    with pytest.raises(expected):
        sessions.create(make_checkout())
