"""Checkout Sessions at Stripe, made from the stored checkout alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import stripe
from events import stripe_api
from events.observability import tracing
from events.observability.logging import get_logger

from checkout.models import INCLUSIVE, Checkout
from checkout.problems import StripeRejected, StripeUnavailable

if TYPE_CHECKING:
    from stripe.params import CouponCreateParams
    from stripe.params.checkout import SessionCreateParams

SHIPPING_TAX_CODE = "txcd_92010001"  # Stripe's code for shipping

log = get_logger(__name__)


class StripeSessions:
    """Answers are Stripe's objects as plain JSON values.

    Everything raises `StripeRejected` when Stripe refuses what we ask, so nothing was done, and
    `StripeUnavailable` when it cannot be known whether it was.
    """

    def __init__(
        self,
        api_key: str,
        api_base: str,
        *,
        http_client: stripe.HTTPClient | None = None,
        retries: int = stripe_api.RETRIES,
    ) -> None:
        client = stripe_api.client(api_key, api_base, retries=retries, http_client=http_client)
        self._sessions = client.v1.checkout.sessions
        self._coupons = client.v1.coupons
        self._intents = client.v1.payment_intents

    def create(self, checkout: Checkout) -> dict[str, Any]:
        """The session of this checkout; a repeat answers with the same one, by the checkout's own key."""
        if checkout.amount_discount:
            self._create_coupon(checkout)
        with _translated("create session", checkout.id):
            params = session_params(checkout)
            return self._sessions.create(params, {"idempotency_key": checkout.id}).to_dict(for_json=True)

    def retrieve(self, session_id: str) -> dict[str, Any]:
        with _translated("retrieve session", session_id):
            return self._sessions.retrieve(session_id).to_dict(for_json=True)

    def has_failed(self, found: Mapping[str, Any]) -> bool:
        """Whether a delayed payment has: neither status of its session tells, only its payment intent's."""
        if found["payment_status"] != "unpaid" or not found["payment_intent"]:
            return False
        with _translated("retrieve payment intent", found["payment_intent"]):
            return self._intents.retrieve(found["payment_intent"]).status in ("requires_payment_method", "canceled")

    def expire(self, session_id: str) -> dict[str, Any]:
        """End an open session. `StripeRejected`: it is not open any more, the customer may have paid."""
        with _translated("expire session", session_id):
            return self._sessions.expire(session_id).to_dict(for_json=True)

    def _create_coupon(self, checkout: Checkout) -> None:
        try:
            with _translated("create coupon", checkout.id):
                self._coupons.create(coupon_params(checkout), {"idempotency_key": f"{checkout.id}-coupon"})
        except StripeRejected as error:
            if error.code != "resource_already_exists":  # made before, and Stripe has forgotten the key since
                raise


def session_params(checkout: Checkout) -> "SessionCreateParams":
    metadata = {"checkout_id": checkout.id}
    if checkout.traceparent:
        metadata[tracing.HEADER] = checkout.traceparent  # Stripe's events bring it back
    params: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": checkout.id,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},  # a session's metadata does not reach charges and refunds
        "line_items": [_line_item(checkout, line) for line in checkout.lines],
        "success_url": checkout.success_url,
        "cancel_url": checkout.cancel_url,
        "expires_at": int(checkout.expires_at.timestamp()),
        "after_expiration": {"recovery": {"enabled": True}},
        "automatic_tax": {"enabled": checkout.automatic_tax},
    }
    _fill_in_page(params, checkout.page)
    if checkout.customer_email:
        params["customer_email"] = checkout.customer_email
    if checkout.locale:
        params["locale"] = checkout.locale
    if checkout.amount_discount:
        params["discounts"] = [{"coupon": checkout.id}]
    if checkout.shipping:
        params["shipping_options"] = [{"shipping_rate_data": _shipping_rate(checkout, checkout.shipping)}]
    return params


def _fill_in_page(params: "SessionCreateParams", page: Mapping[str, Any]) -> None:
    """What the page asks for and offers; agreements.py has what stands in `page`."""
    if page.get("promotion_codes"):
        params["allow_promotion_codes"] = True
        params["after_expiration"] = {"recovery": {"enabled": True, "allow_promotion_codes": True}}
    if page.get("shipping_countries"):
        params["shipping_address_collection"] = {"allowed_countries": page["shipping_countries"]}
    if page.get("phone"):
        params["phone_number_collection"] = {"enabled": True}
    if page.get("billing_address") == "required":
        params["billing_address_collection"] = "required"
    asked = {"terms_of_service": ("terms_of_service", "required"), "promotions": ("consent_promotions", "auto")}
    consent: Any = {name: value for name, (setting, value) in asked.items() if page.get(setting)}
    if consent:
        params["consent_collection"] = consent


def coupon_params(checkout: Checkout) -> "CouponCreateParams":
    """A coupon for this checkout alone, of the amount that the customer was shown."""
    return {
        "id": checkout.id,
        "amount_off": checkout.amount_discount,
        "currency": checkout.currency,
        "duration": "once",
        "max_redemptions": 1,
        "name": checkout.discount_code or checkout.id,
        "metadata": {"checkout_id": checkout.id},
    }


def _line_item(checkout: Checkout, line: dict[str, Any]) -> Any:
    product = {"name": line["name"], "metadata": {"sku": line["sku"]}}
    if line["description"]:
        product["description"] = line["description"]
    if line["image"]:
        product["images"] = [line["image"]]
    if line["tax_code"]:
        product["tax_code"] = line["tax_code"]
    price = {"currency": checkout.currency, "unit_amount": line["unit_amount"], "product_data": product}
    item = {"quantity": line["quantity"], "price_data": price | _tax_behavior(checkout, line)}
    if line.get("tax_rates") and not checkout.automatic_tax:  # Stripe takes one or the other
        item["tax_rates"] = line["tax_rates"]
    return item


def _shipping_rate(checkout: Checkout, shipping: dict[str, Any]) -> Any:
    rate = {
        "type": "fixed_amount",
        "display_name": shipping["name"],
        "fixed_amount": {"amount": shipping["amount"], "currency": checkout.currency},
        "delivery_estimate": {
            "minimum": {"unit": "business_day", "value": shipping["min_days"]},
            "maximum": {"unit": "business_day", "value": shipping["max_days"]},
        },
        "metadata": {"shipping_option": shipping["id"]},
    }
    return rate | (
        {"tax_code": SHIPPING_TAX_CODE} | _tax_behavior(checkout, shipping) if checkout.automatic_tax else {}
    )


def _tax_behavior(checkout: Checkout, priced: Mapping[str, Any]) -> dict[str, str]:
    """Inclusive, unless it says otherwise: what the customer was shown is what is charged."""
    return {"tax_behavior": priced.get("tax_behavior", INCLUSIVE)} if checkout.automatic_tax else {}


@contextmanager
def _translated(action: str, about: str) -> Iterator[None]:
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        _log(action, about, error)
        raise StripeRejected(error.code) from error
    except stripe.StripeError as error:
        _log(action, about, error)
        raise StripeUnavailable from error


def _log(action: str, about: str, error: stripe.StripeError) -> None:
    log.warning(
        "stripe refused" if error.http_status else "stripe is away",
        action=action,
        about=about,
        request_id=error.request_id,
        http_status=error.http_status,
        code=error.code,
        param=getattr(error, "param", None),
        error=type(error).__name__,
    )
