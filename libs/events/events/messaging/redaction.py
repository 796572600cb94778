"""Redaction: event bodies without personal data, but with everything that books money and moves stock.

Named fields are set to null and all others are kept. A list of allowed fields would be riskier: a handler that needs
a field missing from it would fail, and a payment would not be booked. Every field named here may be null.
"""

from typing import Any

import orjson

from events.database.storable import without_unstorable
from events.messaging.event import STRIPE

# Own events have these on their top level. `locale` is of no use without the customer.
OWN_FIELDS = frozenset(
    {
        "customer_country", "customer_email", "customer_name", "locale", "recovery_url", "tracking", "tracking_url",
        "voucher_url",
    }
)  # fmt: skip

# Stripe's objects have these on any level (https://docs.stripe.com/api: checkout sessions, payment intents, charges,
# refunds, disputes). Webhooks contain no product names, so `name` is always a person's.
STRIPE_FIELDS = frozenset(
    {
        "address", "bank_account", "billing_address", "billing_details", "billing_zip", "business_name", "cancel_url",
        "collected_information", "custom_fields", "customer_details", "customer_email", "customer_email_address",
        "customer_name", "description", "destination_details", "email", "evidence", "individual_name",
        "instructions_email", "ip", "ip_address", "ip_address_location",
        "name", "next_action", "owner", "payment_method", "payment_method_details", "phone",
        "receipt_email", "receipt_url", "recovery", "return_url", "shipping", "shipping_address", "shipping_details",
        "source", "success_url", "tax_ids", "url",
    }
)  # fmt: skip
KEPT_METADATA = frozenset({"checkout_id", "order_id", "refund_request", "traceparent"})  # other keys may hold anything


def redacted(routing_key: str, body: bytes) -> bytes:
    """Return the body without personal data: unchanged if it has none, empty if it is not a JSON object."""
    try:
        document = orjson.loads(without_unstorable(body))
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(document, dict):
        return b""
    without = _redact_stripe(document) if routing_key.startswith(STRIPE) else redacted_data(document)
    return body if without == document else orjson.dumps(without)


def redacted_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return an own event's data without personal data; values may be JSON or Python ones."""
    return {name: None if name in OWN_FIELDS else value for name, value in data.items()}


def _redact_stripe(value: Any) -> Any:
    if isinstance(value, list):
        return [_redact_stripe(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _redact_member(name, member) for name, member in value.items()}


def _redact_member(name: str, value: Any) -> Any:
    if name in STRIPE_FIELDS:
        return None
    if name == "metadata" and isinstance(value, dict):
        return {key: kept for key, kept in value.items() if key in KEPT_METADATA}
    return _redact_stripe(value)
