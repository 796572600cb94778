"""Builders of Stripe's events and objects, in the shapes of API version 2026-10-28.endive, and of signatures.

The objects have only the fields that consumers may rely on. `overrides` add or replace fields. Amounts are in minor
units.
"""

import hashlib
import hmac
import itertools
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from events.messaging.event import STRIPE, Event

API_VERSION = "2026-10-28.endive"
_numbers = itertools.count(1)


def stripe_id(prefix: str) -> str:
    """Return an id in Stripe's form, unique within this process."""
    return f"{prefix}_test_{next(_numbers):06d}"


def stripe_event(
    event_type: str,
    obj: dict[str, Any],
    *,
    event_id: str | None = None,
    created: int | None = None,
    livemode: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Return the JSON document that Stripe posts for an event."""
    return {
        "id": event_id or stripe_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": created or int(time.time()),
        "data": {"object": obj},
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
        **overrides,
    }


def to_bytes(event: dict[str, Any]) -> bytes:
    """Return the body as Stripe sends it: UTF-8, indented by two spaces."""
    return orjson.dumps(event, option=orjson.OPT_INDENT_2)


def sign(body: bytes, secret: str, timestamp: int | None = None) -> str:
    """Return the Stripe-Signature header for exactly these bytes (https://docs.stripe.com/webhooks/signature)."""
    signed_at = timestamp if timestamp is not None else int(time.time())
    digest = hmac.new(secret.encode(), b"%d." % signed_at + body, hashlib.sha256).hexdigest()
    return f"t={signed_at},v1={digest}"


def as_bus_event(event: dict[str, Any]) -> Event:
    """Return the bus event that webhooks publishes for a posted document, but without the header `received_at`."""
    metadata = event["data"]["object"].get("metadata") or {}
    return Event(
        id=event["id"],
        routing_key=STRIPE + event["type"],
        source="webhooks",
        occurred_at=datetime.fromtimestamp(event["created"], UTC),
        body=to_bytes(event),
        correlation_id=metadata.get("checkout_id"),
        headers={"livemode": event["livemode"], "api_version": event["api_version"]},
    )


def checkout_session(checkout_id: str | None, **overrides: Any) -> dict[str, Any]:
    """Return a completed, paid Checkout Session of 57.38 EUR. Without a checkout id, it resembles another shop's."""
    return {
        "id": stripe_id("cs"),
        "object": "checkout.session",
        "after_expiration": None,
        "amount_subtotal": 5248,
        "amount_total": 5738,
        "client_reference_id": checkout_id,
        "created": int(time.time()),
        "currency": "eur",
        "customer": None,
        "customer_details": {"email": "zoe@example.com", "name": "Zoë Müller", "address": None, "phone": None},
        "customer_email": None,
        "expires_at": int(time.time()) + 1800,
        "livemode": False,
        "metadata": {"checkout_id": checkout_id} if checkout_id else {},
        "mode": "payment",
        "payment_intent": stripe_id("pi"),
        "payment_status": "paid",
        "recovered_from": None,
        "status": "complete",
        "total_details": {"amount_discount": 0, "amount_shipping": 490, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        **overrides,
    }


def payment_intent(checkout_id: str | None, **overrides: Any) -> dict[str, Any]:
    """Return a payment intent that succeeded."""
    return {
        "id": stripe_id("pi"),
        "object": "payment_intent",
        "amount": 5738,
        "amount_received": 5738,
        "currency": "eur",
        "last_payment_error": None,
        "latest_charge": stripe_id("ch"),
        "livemode": False,
        "metadata": {"checkout_id": checkout_id} if checkout_id else {},
        "status": "succeeded",
        **overrides,
    }


def charge(checkout_id: str | None, **overrides: Any) -> dict[str, Any]:
    """Return a charge that succeeded."""
    return {
        "id": stripe_id("ch"),
        "object": "charge",
        "amount": 5738,
        "amount_captured": 5738,
        "amount_refunded": 0,
        "currency": "eur",
        "livemode": False,
        "metadata": {"checkout_id": checkout_id} if checkout_id else {},
        "paid": True,
        "payment_intent": stripe_id("pi"),
        "refunded": False,
        "status": "succeeded",
        **overrides,
    }


def refund(**overrides: Any) -> dict[str, Any]:
    """Return a refund that succeeded. Like those made in Stripe's dashboard, it has no metadata."""
    return {
        "id": stripe_id("re"),
        "object": "refund",
        "amount": 1000,
        "charge": stripe_id("ch"),
        "created": 1_793_600_000,
        "currency": "eur",
        "metadata": {},
        "payment_intent": stripe_id("pi"),
        "reason": None,
        "status": "succeeded",
        **overrides,
    }


def dispute(**overrides: Any) -> dict[str, Any]:
    """Return a dispute that waits for the shop's evidence. Stripe puts no metadata on disputes."""
    return {
        "id": stripe_id("dp"),
        "object": "dispute",
        "amount": 5738,
        "balance_transactions": [],
        "charge": stripe_id("ch"),
        "created": 1_793_600_000,
        "currency": "eur",
        "evidence_details": {"due_by": 1_794_200_000, "has_evidence": False, "past_due": False, "submission_count": 0},
        "livemode": False,
        "metadata": {},
        "payment_intent": stripe_id("pi"),
        "reason": "fraudulent",
        "status": "needs_response",
        **overrides,
    }
