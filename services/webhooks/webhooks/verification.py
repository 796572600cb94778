"""What a body must be to count as an event from Stripe, and the envelope that it gets.

Strangers post here too: every way in which the input is wrong is a `Problem` with status 400, never a defect.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from events.messaging.event import STRIPE, Event
from events.observability import tracing
from events.web.problems import Problem
from stripe import SignatureVerificationError, WebhookSignature

TOLERANCE = 300  # seconds between Stripe's clock and ours; Stripe's own default


def verified(body: bytes, signature: str, secrets: Sequence[str], *, livemode: bool) -> Event:
    """The event in a signed body. Raises `Problem`."""
    _check_signature(body, signature, secrets)
    event = enveloped(body)
    if event.headers["livemode"] is not livemode:
        raise Problem(
            400,
            "wrong-livemode",
            f"This ingest takes livemode={str(livemode).lower()} events only: give each of Stripe's modes its own"
            " endpoint, secret and LIVEMODE.",
        )
    return event


def enveloped(body: bytes) -> Event:
    """The event in a body that is known to come from Stripe. Raises `Problem`."""
    document = _parsed(body)
    about = document["data"]["object"]
    headers = {
        "livemode": document["livemode"],
        "api_version": document.get("api_version"),
        "account": document.get("account"),
        "received_at": datetime.now(UTC).isoformat(),
        tracing.HEADER: _metadata(about).get(tracing.HEADER),  # the checkout's: Stripe brings back what it was given
    }
    return Event(
        id=document["id"],
        routing_key=STRIPE + document["type"],
        source="webhooks",
        occurred_at=_instant(document["created"]),
        body=body,
        correlation_id=_checkout_id(about),
        headers={name: value for name, value in headers.items() if isinstance(value, str | bool)},
    )


def _check_signature(body: bytes, signature: str, secrets: Sequence[str]) -> None:
    """The SDK checks one secret a call; during a roll several are valid."""
    try:
        text = body.decode()
        signature.encode("ascii")  # the SDK compares digests as text and trips over anything else
        timestamp = int(dict(part.partition("=")[::2] for part in signature.split(","))["t"])
    except (UnicodeError, KeyError, ValueError) as error:
        raise _bad_signature("The body or the Stripe-Signature header is malformed.") from error
    if timestamp > time.time() + TOLERANCE:  # the SDK accepts any future
        raise _bad_signature("The signature's timestamp lies in the future: check both clocks.")
    problem = ""
    for secret in secrets:
        try:
            WebhookSignature.verify_header(text, signature, secret, TOLERANCE)
        except SignatureVerificationError as error:
            problem = str(error)
        else:
            return
    raise _bad_signature(f"No configured secret made this signature ({problem}).")


def _bad_signature(detail: str) -> Problem:
    return Problem(400, "bad-signature", detail)


def _parsed(body: bytes) -> dict[str, Any]:
    """The document, with the fields that the envelope needs known to be there and of their types."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "bad-event", f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Problem(400, "bad-event", "The body is not a JSON object.")
    if document.get("object") == "v2.core.event":
        raise Problem(
            400, "thin-event", "Thin events carry no object. Set this endpoint's payload style to snapshot in Stripe."
        )
    wanted = {"id": str, "type": str, "created": int, "livemode": bool, "data": dict}
    bad = [name for name, kind in wanted.items() if type(document.get(name)) is not kind]
    if not bad and not isinstance(document["data"].get("object"), dict):
        bad = ["data.object"]
    if bad or not _routable(document["type"]) or not 0 < len(document["id"]) <= MAX_ID:
        raise Problem(400, "bad-event", f"This is no event of Stripe's: look at {', '.join(bad) or 'id and type'}.")
    return document


MAX_ID = 255  # characters of an AMQP short string, and of the inbox's key


def _routable(event_type: str) -> bool:
    return 0 < len(event_type) < MAX_ID - len(STRIPE) and event_type.isascii() and event_type.isprintable()


def _instant(created: int) -> datetime:
    try:
        return datetime.fromtimestamp(created, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise Problem(400, "bad-event", "This is no event of Stripe's: look at created.") from error


def _checkout_id(obj: dict[str, Any]) -> str | None:
    found = _metadata(obj).get("checkout_id")
    return found if isinstance(found, str) and 0 < len(found) <= MAX_ID else None


def _metadata(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
