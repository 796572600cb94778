"""The Checkout Session as it is when it is created, and its customer's details."""

from typing import Any

from ..store import Object, new_id

DAY_S = 24 * 3600


def checkout_session(created: int, shop_name: str, currency: str, params: Object) -> Object:
    """Return an open session with zero amounts. `totals.set_amounts` sets them."""
    return {
        "id": new_id("cs_test_a1", 56).replace("a1_", "a1"),
        "object": "checkout.session",
        "adaptive_pricing": params.get("adaptive_pricing", {"enabled": True}),
        "after_expiration": _after_expiration(params.get("after_expiration")),
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "amount_subtotal": 0,
        "amount_total": 0,
        "automatic_tax": _automatic_tax(params.get("automatic_tax", {}).get("enabled", False)),
        "billing_address_collection": params.get("billing_address_collection"),
        "branding_settings": _branding(shop_name),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": _consent_collection(params.get("consent_collection")),
        "created": created,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": _custom_text(params.get("custom_text", {})),
        "customer": None,
        "customer_account": None,
        "customer_creation": "if_required",
        "customer_details": _initial_customer(params.get("customer_email")),
        "customer_email": params.get("customer_email"),
        "discounts": [_discount(given) for given in params.get("discounts", [])],
        "expires_at": params.get("expires_at", created + DAY_S),
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": _invoice_creation(),
        "livemode": False,
        "locale": params.get("locale"),
        "managed_payments": {"enabled": False},
        "metadata": params.get("metadata", {}),
        "mode": params["mode"],
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        **_payment_methods(params.get("payment_method_types"), currency),
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": params.get("phone_number_collection", {"enabled": False}),
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": params.get("shipping_address_collection"),
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        "wallet_options": None,
    }


def _payment_methods(asked: list[str] | None, currency: str) -> Object:
    """Return the requested payment methods. Without a request, Stripe's default configuration decides."""
    card = {"card": {"request_three_d_secure": "automatic"}}
    if asked:
        return {
            "payment_method_configuration_details": None,
            "payment_method_options": {name: card.get(name, {}) for name in asked if name != "link"},
            "payment_method_types": asked,
        }
    delayed = {"brl": ["boleto"], "eur": ["sepa_debit", "multibanco"], "jpy": ["konbini"], "mxn": ["oxxo"]}
    delayed["gbp"] = ["customer_balance"]  # a bank transfer
    return {
        "payment_method_configuration_details": {"id": "pmc_1FakeStripeDefault000000", "parent": None},
        "payment_method_options": card,
        "payment_method_types": ["card", "link", *delayed.get(currency, [])],
    }


def _after_expiration(given: Object | None) -> Object | None:
    recovery = (given or {}).get("recovery")
    if not recovery:
        return None
    allowed = recovery.get("allow_promotion_codes", False)
    return {
        "recovery": {
            "allow_promotion_codes": allowed,
            "enabled": recovery["enabled"],
            "expires_at": None,
            "url": None,
        }
    }


def _automatic_tax(enabled: bool) -> Object:
    return {
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": "requires_location_inputs" if enabled else None,
    }


def _branding(shop_name: str) -> Object:
    return {
        "background_color": "#ffffff",
        "border_style": "rounded",
        "button_color": "#0074d4",
        "display_name": shop_name,
        "font_family": "default",
        "icon": None,
        "logo": None,
    }


def _consent_collection(given: Object | None) -> Object | None:
    if given is None:
        return None
    return {name: given.get(name) for name in ("payment_method_reuse_agreement", "promotions", "terms_of_service")}


def _custom_text(given: Object) -> Object:
    places = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {place: given.get(place) for place in places}


def _discount(given: Object) -> Object:
    return {"coupon": given.get("coupon"), "promotion_code": given.get("promotion_code")}


def _initial_customer(email: str | None) -> Object | None:
    return customer_details(email, None, None, None) if email else None


def customer_details(email: str | None, name: str | None, phone: str | None, address: Object | None) -> Object:
    """Return the `customer_details` of a session. What the customer has not entered yet is None."""
    return {
        "address": address,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": phone,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def _invoice_creation() -> Object:
    data: dict[str, Any] = dict.fromkeys(("account_tax_ids", "custom_fields", "description", "footer", "issuer"))
    return {"enabled": False, "invoice_data": {**data, "metadata": {}, "rendering_options": None}}
