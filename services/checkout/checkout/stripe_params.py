"""The fields of a checkout request by Stripe's parameter: an error about a parameter names the caller's field."""

import re
from typing import Any

REFUSED_VALUE = "The payment provider refuses this value. Correct it."
# The product's own fields are the shop's, and the customer can only remove the line.
REFUSED_PRODUCT = "The payment provider refuses this product. Remove it from the cart, and contact the shop."
FIELDS = ("customer_email", "success_url", "cancel_url", "locale", "currency")  # named like Stripe's parameters
OTHER_NAMES = {"discounts": "discount_code", "shipping_options": "shipping_option"}
LINE = re.compile(r"line_items\[(\d+)\]")


def fields_of_param(param: str | None) -> dict[str, Any]:
    """Return the errors by field of the request for a parameter that Stripe refused.

    The result is empty if no field of the request determines the parameter, for example if a setting does.
    """
    name, *_ = (param or "").partition("[")
    if line := LINE.match(param or ""):
        is_quantity = (param or "").endswith("[quantity]")
        field, message = ("quantity", REFUSED_VALUE) if is_quantity else ("sku", REFUSED_PRODUCT)
        return {"items": {line[1]: {field: [message]}}}
    field = OTHER_NAMES.get(name, name)
    return {field: [REFUSED_VALUE]} if field in (*FIELDS, *OTHER_NAMES.values()) else {}
