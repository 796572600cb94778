"""The verification of Stripe's events, and the properties and headers of their messages.

Anyone can post here. So every invalid input raises `RejectedEventError`, and never another error. `check_header` needs
no body: a request without a plausible signature costs neither a thread that waits for its body nor a hash over it.

A signed event is never refused for an optional field or an unusual time: these are dropped or corrected.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from events.clock import utcnow
from events.database.storable import without_unstorable
from events.messaging.event import STRIPE, Event
from events.observability import tracing
from stripe import SignatureVerificationError, WebhookSignature

from webhooks.errors import RejectedEventError

SIGNATURE_TOLERANCE_S = 300  # between Stripe's clock and ours; the default of Stripe's SDK
MAX_HEADER_LENGTH = 1000  # characters; a signature has 68, and Stripe sends one for each secret during a rotation
SIGNATURE = re.compile(r"v1=[0-9a-f]{64}(,|$)")
MAX_ID_BYTES = 255  # of UTF-8: the size of an AMQP short string. The inbox's key counts characters
MAX_CREATED = 2**32 - 1  # 2106: far from the end of the calendar, where other time zones would overflow
REQUIRED_FIELDS = {"id": str, "type": str, "created": int, "livemode": bool, "data": dict}


def check_header(signature: str) -> None:
    """Raise `RejectedEventError` for a malformed signature header, or one that is not from the last few minutes."""
    if not signature or len(signature) > MAX_HEADER_LENGTH or not signature.isascii():
        raise _bad_signature("The Stripe-Signature header is missing, too long or not ASCII.")
    try:
        timestamp = int(dict(part.partition("=")[::2] for part in signature.split(","))["t"])
    except (KeyError, ValueError) as error:
        raise _bad_signature("The Stripe-Signature header has no valid timestamp.") from error
    if not SIGNATURE.search(signature):
        raise _bad_signature("The Stripe-Signature header has no signature of scheme v1.")
    if (
        abs(timestamp - int(utcnow().timestamp())) > SIGNATURE_TOLERANCE_S
    ):  # the SDK accepts any timestamp in the future
        raise _bad_signature(
            f"The signature's timestamp differs from our clock by more than {SIGNATURE_TOLERANCE_S} s."
            " Check the clocks of both hosts."
        )


def verify_event(body: bytes, signature: str, secrets: Sequence[str], *, livemode: bool) -> Event:
    """Return the event in a signed body, whose header `check_header` accepted. Raises `RejectedEventError`."""
    _check_signature(body, signature, secrets)
    event = parse_event(body)
    if event.headers["livemode"] is not livemode:
        raise RejectedEventError(
            "wrong-livemode",
            f"This installation accepts only events with livemode={str(livemode).lower()}."
            " Give each mode of Stripe its own endpoint, secret and LIVEMODE.",
        )
    return event


def parse_event(body: bytes) -> Event:
    """Return the event in a body that is known to come from Stripe. Raises `RejectedEventError`."""
    document = _parse(body)
    stripe_object = document["data"]["object"]
    headers = {
        "livemode": document["livemode"],
        "api_version": document.get("api_version"),
        "account": document.get("account"),
        "received_at": utcnow().isoformat(),
        tracing.HEADER: _metadata(stripe_object).get(tracing.HEADER),  # checkout puts its trace into the metadata
    }
    return Event(
        id=document["id"],
        routing_key=STRIPE + document["type"],
        source="webhooks",
        occurred_at=_instant(document["created"]),
        body=body,
        correlation_id=_checkout_id(stripe_object),
        headers={name: value for name, value in headers.items() if isinstance(value, bool) or _is_short_text(value)},
    )


def _check_signature(body: bytes, signature: str, secrets: Sequence[str]) -> None:
    """Raise `RejectedEventError` unless one of the secrets made the signature. The SDK checks one secret per call."""
    try:
        text = body.decode()
    except UnicodeError as error:
        raise _bad_signature("The body is not UTF-8.") from error
    reason = ""
    for secret in secrets:
        try:
            WebhookSignature.verify_header(text, signature, secret, SIGNATURE_TOLERANCE_S)
        except SignatureVerificationError as error:
            reason = str(error)
        else:
            return
    raise _bad_signature(f"No configured secret matches this signature ({reason}). Check STRIPE_WEBHOOK_SECRETS.")


def _bad_signature(detail: str) -> RejectedEventError:
    return RejectedEventError("bad-signature", detail)


def _bad_event(detail: str) -> RejectedEventError:
    return RejectedEventError("bad-event", detail)


def _parse(body: bytes) -> dict[str, Any]:
    """Return the document in a body. Raises `RejectedEventError` if a required field is missing or invalid."""
    try:
        document = orjson.loads(without_unstorable(body))
    except orjson.JSONDecodeError as error:
        raise _bad_event(f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _bad_event("The body is not a JSON object.")
    if document.get("object") == "v2.core.event":
        raise RejectedEventError(
            "thin-event", "Thin events contain no object. Set this endpoint's payload style to snapshot in Stripe."
        )
    invalid = [name for name, kind in REQUIRED_FIELDS.items() if type(document.get(name)) is not kind]
    if not invalid and not isinstance(document["data"].get("object"), dict):
        invalid = ["data.object"]
    if invalid or not _is_routable(document["type"]) or not _is_short_text(document["id"]):
        raise _not_from_stripe(", ".join(invalid) or "id or type")
    return document


def _not_from_stripe(fields: str) -> RejectedEventError:
    return _bad_event(f"The body is not a Stripe event. Missing or invalid: {fields}.")


def _is_routable(event_type: str) -> bool:
    return 0 < len(event_type) < MAX_ID_BYTES - len(STRIPE) and event_type.isascii() and event_type.isprintable()


def _is_short_text(value: object) -> bool:
    """Return True for a text that fits into an AMQP short string, without control characters."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= MAX_ID_BYTES


def _instant(created: int) -> datetime:
    """Return the event's time, moved into the range that AMQP can carry: no event is lost for its time."""
    return datetime.fromtimestamp(min(max(created, 0), MAX_CREATED), UTC)


def _checkout_id(stripe_object: dict[str, Any]) -> str | None:
    """Return the checkout's id from the metadata; None without one that AMQP can carry."""
    checkout_id = _metadata(stripe_object).get("checkout_id")
    return checkout_id if _is_short_text(checkout_id) else None


def _metadata(stripe_object: dict[str, Any]) -> dict[str, Any]:
    metadata = stripe_object.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
