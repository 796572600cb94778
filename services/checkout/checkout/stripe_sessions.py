"""The client of Stripe's Checkout Sessions. A session is made from the stored checkout alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import stripe
from events import stripe_api
from events.observability import tracing
from events.stripe_api import Failure

from checkout.errors import StripeAwayError, StripeRejectedError, StripeUnauthorizedError
from checkout.models import INCLUSIVE, Checkout

if TYPE_CHECKING:
    from stripe.params import CouponCreateParams
    from stripe.params.checkout import SessionCreateParams

SHIPPING_TAX_CODE = "txcd_92010001"  # Stripe's code for shipping


class StripeSessions:
    """The client of Stripe's sessions and their coupons. It returns Stripe's objects as plain JSON values.

    All methods raise `StripeRejectedError` if Stripe rejects the parameters: then nothing was done. They raise
    `StripeAwayError` if Stripe may or may not have carried the call out. They raise `StripeUnauthorizedError`, a kind
    of `StripeAwayError`, if Stripe refuses the shop's API key.
    """

    def __init__(
        self,
        api_key: str,
        api_base: str,
        *,
        http_client: stripe.HTTPClient | None = None,
        retries: int = stripe_api.MAX_RETRIES,
    ) -> None:
        client = stripe_api.client(api_key, api_base, retries=retries, http_client=http_client)
        self._sessions = client.v1.checkout.sessions
        self._coupons = client.v1.coupons
        self._intents = client.v1.payment_intents

    def create(self, checkout: Checkout) -> dict[str, Any]:
        """Create the checkout's session, and the coupon of its discount, and return the session.

        A call that is repeated within 24 hours returns the same session, by its idempotency key.
        """
        if checkout.amount_discount:
            self._create_coupon(checkout)
        with _raising_domain_errors("create session", checkout.id):
            params = session_params(checkout)
            return self._sessions.create(params, {"idempotency_key": checkout.id}).to_dict(for_json=True)

    def retrieve(self, session_id: str) -> dict[str, Any]:
        """Return a session as it is now."""
        with _raising_domain_errors("retrieve session", session_id):
            return self._sessions.retrieve(session_id).to_dict(for_json=True)

    def fetch_payment_failed(self, stripe_session: Mapping[str, Any]) -> bool:
        """Return True if a complete session's delayed payment has failed, as only its payment intent shows."""
        intent_id = stripe_session["payment_intent"]
        if stripe_session["payment_status"] != "unpaid" or not intent_id:
            return False
        with _raising_domain_errors("retrieve payment intent", intent_id):
            return self._intents.retrieve(intent_id).status in ("requires_payment_method", "canceled")

    def expire(self, session_id: str) -> dict[str, Any]:
        """Expire an open session and return it. Stripe rejects this for a session that has ended, also by payment."""
        with _raising_domain_errors("expire session", session_id):
            return self._sessions.expire(session_id).to_dict(for_json=True)

    def delete_coupon(self, checkout_id: str) -> None:
        """Delete the coupon that was made for a checkout's session, if Stripe still has it."""
        try:
            with _raising_domain_errors("delete coupon", checkout_id):
                self._coupons.delete(checkout_id)
        except StripeRejectedError as error:
            if error.code != stripe_api.RESOURCE_MISSING:
                raise

    def _create_coupon(self, checkout: Checkout) -> None:
        try:
            with _raising_domain_errors("create coupon", checkout.id):
                self._coupons.create(coupon_params(checkout), {"idempotency_key": f"{checkout.id}-coupon"})
        except StripeRejectedError as error:
            if error.code != "resource_already_exists":  # made before; Stripe forgets idempotency keys after a day
                raise


def session_params(checkout: Checkout) -> "SessionCreateParams":
    """Return the parameters with which Stripe creates the checkout's session."""
    metadata = {"checkout_id": checkout.id}
    if checkout.traceparent:
        metadata[tracing.HEADER] = checkout.traceparent  # Stripe's events carry it back
    params: SessionCreateParams = {
        "mode": "payment",
        "client_reference_id": checkout.id,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},  # a session's metadata does not reach charges and refunds
        "line_items": [_line_item(checkout, line) for line in checkout.lines],
        "success_url": checkout.success_url,
        "cancel_url": checkout.cancel_url,
        "expires_at": int(checkout.expires_at.timestamp()),
        "automatic_tax": {"enabled": checkout.automatic_tax},
    }
    _set_options(params, checkout.session_options)
    if checkout.customer_email:
        params["customer_email"] = checkout.customer_email
    if checkout.locale:
        params["locale"] = checkout.locale
    if checkout.amount_discount:
        params["discounts"] = [{"coupon": checkout.id}]
    offered = checkout.shipping_options or ([checkout.shipping] if checkout.shipping else [])
    if offered:
        params["shipping_options"] = [{"shipping_rate_data": _shipping_rate(checkout, option)} for option in offered]
    return params


def _set_options(params: "SessionCreateParams", options: Mapping[str, Any]) -> None:
    """Set the parameters for what Stripe's page asks for and offers, from the checkout's `session_options`."""
    recovery: Any = {"enabled": True} if options.get("allow_recovery", True) else None
    if options.get("allow_promotion_codes"):
        params["allow_promotion_codes"] = True
        if recovery:
            recovery["allow_promotion_codes"] = True
    if recovery:
        params["after_expiration"] = {"recovery": recovery}
    if options.get("shipping_countries"):
        params["shipping_address_collection"] = {"allowed_countries": options["shipping_countries"]}
    if options.get("collect_phone"):
        params["phone_number_collection"] = {"enabled": True}
    if options.get("billing_address") == "required":
        params["billing_address_collection"] = "required"
    consent: Any = {}
    if options.get("require_terms_of_service"):
        consent["terms_of_service"] = "required"
    if options.get("consent_promotions"):
        consent["promotions"] = "auto"
    if consent:
        params["consent_collection"] = consent


def coupon_params(checkout: Checkout) -> "CouponCreateParams":
    """Return the parameters of a coupon for this checkout alone, with the amount off that the customer saw."""
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
    if line.get("tax_rates") and not checkout.automatic_tax:  # Stripe accepts only one of the two
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
    """Return the parameter `tax_behavior` of a price; no parameter without automatic tax.

    Inclusive is the default: the customer pays the price that the shop showed.
    """
    return {"tax_behavior": priced.get("tax_behavior", INCLUSIVE)} if checkout.automatic_tax else {}


@contextmanager
def _raising_domain_errors(action: str, about: str) -> Iterator[None]:
    try:
        yield
    except stripe.StripeError as error:
        stripe_api.log_failure(action, about, error)
        match stripe_api.failure_of(error):
            case Failure.REJECTED:
                raise StripeRejectedError(error.code, getattr(error, "param", None)) from error
            case Failure.UNAUTHORIZED:
                raise StripeUnauthorizedError from error
            case Failure.AWAY:
                raise StripeAwayError from error
