"""Stripe's objects as plain JSON values, and what several modules read from them."""

import re
from datetime import UTC, datetime
from typing import Any

from events.messaging.stripe_fields import read_object

StripeObject = dict[str, Any]

CURRENCY = re.compile(r"[a-z]{3}")  # as in the contracts of events
NO_CURRENCY = "xxx"  # ISO 4217's code for no currency
UNKNOWN_STATUS = "unknown"  # of a refund or dispute whose status Stripe left empty
PAGE_SIZE = 100  # objects: Stripe's maximum for one page of a list


def read_answer(answer: Any) -> StripeObject:
    """Return the object in an answer of Stripe's SDK, in the form that objects in events have."""
    found, _ = read_object(answer.to_dict(for_json=True))
    return found


def checkout_id_of(stripe_object: StripeObject) -> str | None:
    """Return the id of the checkout that an object belongs to; None if another system made the object."""
    found: str | None = (stripe_object.get("metadata") or {}).get("checkout_id")
    return found or None


def currency_of(stripe_object: StripeObject) -> str:
    """Return the currency of an object; `NO_CURRENCY` if Stripe sent a text that is no code.

    The money is booked in any case: a paid order must not stay open. The mismatch then opens a review.
    """
    code = str(stripe_object.get("currency") or "").lower()
    return code if CURRENCY.fullmatch(code) else NO_CURRENCY


def presentment_of(stripe_object: StripeObject) -> tuple[str, int] | None:
    """Return the currency and amount of the customer's statement; None if Stripe does not say them."""
    details = stripe_object.get("presentment_details") or {}
    code, amount = str(details.get("presentment_currency")), details.get("presentment_amount")
    return (code, amount) if amount and CURRENCY.fullmatch(code) else None


def to_datetime(seconds: int) -> datetime:
    """Return one of Stripe's times, which are Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def created_at_of(stripe_object: StripeObject, otherwise: datetime) -> datetime:
    """Return when Stripe created an object; `otherwise` if it does not say so."""
    created = stripe_object.get("created")
    return otherwise if created is None else to_datetime(created)


def shipping_of(checkout_session: StripeObject) -> StripeObject | None:
    """Return the name and address that a Checkout Session collected, or None.

    They are in `collected_information.shipping_details` since API version 2025-03-31, in `shipping_details` since
    2022-08-01, and in `shipping` before. Any of them can be null, also where another one has the address.
    """
    collected = checkout_session.get("collected_information") or {}
    for found in (
        collected.get("shipping_details"),
        checkout_session.get("shipping_details"),
        checkout_session.get("shipping"),
    ):
        if isinstance(found, dict) and any((found.get("address") or {}).values()):
            return found
    return None
