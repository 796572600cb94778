"""Products, prices, line items, shipping rates, tax rates, coupons and promotion codes."""

from typing import Any

from ..store import Object, new_id


def product(created: int, params: Object) -> Object:
    """Return a new product from the parameters of the call that creates it."""
    return {
        "id": params.get("id") or new_id("prod", 14),
        "object": "product",
        "active": params.get("active", True),
        "created": created,
        "default_price": None,
        "description": params.get("description"),
        "images": params.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": params.get("metadata", {}),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": params.get("shippable"),
        "statement_descriptor": params.get("statement_descriptor"),
        "tax_code": params.get("tax_code"),
        "tax_details": None,
        "type": "service",
        "unit_label": params.get("unit_label"),
        "updated": created,
        "url": params.get("url"),
    }


def price(created: int, product_id: str, params: Object) -> Object:
    """Return a new price of a product, in minor units and for one piece."""
    return {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": created,
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": params.get("metadata", {}),
        "nickname": params.get("nickname"),
        "product": product_id,
        "recurring": _recurring(params.get("recurring")),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if "recurring" in params else "one_time",
        "unit_amount": params["unit_amount"],
        "unit_amount_decimal": str(params["unit_amount"]),
    }


def _recurring(given: Object | None) -> Object | None:
    if given is None:
        return None
    interval = {"interval": given["interval"], "interval_count": given.get("interval_count", 1)}
    return {**interval, "meter": None, "trial_period_days": None, "usage_type": "licensed"}


def line_item(price_: Object, product_: Object, params: Object) -> Object:
    """Return a session's line before discounts and taxes."""
    subtotal = price_["unit_amount"] * params["quantity"]
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": params.get("adjustable_quantity"),
        "amount_discount": 0,
        "amount_subtotal": subtotal,
        "amount_tax": 0,
        "amount_total": subtotal,
        "currency": price_["currency"],
        "description": product_["name"],
        "metadata": params.get("metadata", {}),
        "price": price_,
        "quantity": params["quantity"],
    }


def shipping_rate(created: int, params: Object) -> Object:
    """Return a new shipping rate with a fixed amount."""
    return {
        "id": new_id("shr"),
        "object": "shipping_rate",
        "active": True,
        "created": created,
        "delivery_estimate": _estimate(params.get("delivery_estimate")),
        "display_name": params["display_name"],
        "fixed_amount": params["fixed_amount"],
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tax_code": params.get("tax_code"),
        "type": "fixed_amount",
    }


def _estimate(given: Object | None) -> Object | None:
    return {"maximum": given.get("maximum"), "minimum": given.get("minimum")} if given else None


def tax_rate(created: int, params: Object) -> Object:
    """Return a new tax rate, in percent."""
    return {
        "id": new_id("txr"),
        "object": "tax_rate",
        "active": params.get("active", True),
        "country": params.get("country"),
        "created": created,
        "description": params.get("description"),
        "display_name": params["display_name"],
        "effective_percentage": None,
        "flat_amount": None,
        "inclusive": params["inclusive"],
        "jurisdiction": params.get("jurisdiction"),
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "percentage": params["percentage"],
        "rate_type": "percentage",
        "state": params.get("state"),
        "tax_type": params.get("tax_type"),
    }


def coupon(created: int, params: Object) -> Object:
    """Return a coupon, with a random id if the parameters have none."""
    return {
        "id": params.get("id") or new_id("", 8)[1:],
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": created,
        "currency": params.get("currency"),
        "currency_options": params.get("currency_options", {}),
        "duration": params.get("duration", "once"),
        "duration_in_months": None,
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": params.get("metadata", {}),
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }


def promotion_code(created: int, params: Object) -> Object:
    """Return a promotion code, with a random code if the parameters have none."""
    unlimited = {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None}
    restrictions: dict[str, Any] = {**unlimited, **params.get("restrictions", {})}
    return {
        "id": new_id("promo"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": params.get("code") or new_id("", 8)[1:].upper(),
        "created": created,
        "customer": None,
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": params.get("metadata", {}),
        "promotion": params["promotion"],
        "restrictions": restrictions,
        "times_redeemed": 0,
    }
