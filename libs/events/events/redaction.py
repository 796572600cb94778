"""Bodies of events without the person they are about: what books money and moves stock stays, as handlers read it.

Fields are emptied by name, not left out, and the rest is kept: a handler that needs a field which nobody foresaw finds
it, where a list of what may stay would make it fail, and the money with it. Every field named here may be null.
"""

from typing import Any

import orjson

from events.envelope import STRIPE

# Of our own events; all on their top level. `locale` is no bookkeeping's business either.
OWN = frozenset({"customer_email", "customer_name", "locale", "recovery_url", "tracking", "tracking_url"})

# Of Stripe's objects, on any level: https://docs.stripe.com/api, checkout sessions, payment intents, charges, refunds,
# disputes. Names of products are not among what webhooks bear.
STRIPES = frozenset(
    {
        "address", "bank_account", "billing_address", "billing_details", "business_name", "cancel_url",
        "collected_information", "custom_fields", "customer_details", "customer_email", "customer_email_address",
        "customer_name", "description", "destination_details", "email", "evidence", "individual_name",
        "instructions_email", "ip", "name", "next_action", "owner", "payment_method", "payment_method_details", "phone",
        "receipt_email", "receipt_url", "recovery", "return_url", "shipping", "shipping_address", "shipping_details",
        "source", "success_url", "tax_ids", "url",
    }
)  # fmt: skip
METADATA = frozenset({"checkout_id", "order_id", "refund_intention", "traceparent"})  # ours; others' may hold anything


def redacted(routing_key: str, body: bytes) -> bytes:
    """The body without personal data; the same bytes for one that bears none, nothing for one that is no JSON."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(document, dict):
        return b""
    without = _stripes(document) if routing_key.startswith(STRIPE) else own_data(document)
    return body if without == document else orjson.dumps(without)


def own_data(data: dict[str, Any]) -> dict[str, Any]:
    """An own event's data, as JSON values or not, without the person."""
    return {name: None if name in OWN else value for name, value in data.items()}


def _stripes(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _member(name, member) for name, member in value.items()}


def _member(name: str, value: Any) -> Any:
    if name in STRIPES:
        return None
    if name == "metadata" and isinstance(value, dict):
        return {key: kept for key, kept in value.items() if key in METADATA}
    return _stripes(value)
