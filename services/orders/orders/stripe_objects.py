"""Functions that read facts from Stripe's objects. `stripe_fields` has brought their fields into a storable form."""

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
    """Return the id of the checkout that an object's metadata names; None if it names none."""
    found: str | None = (stripe_object.get("metadata") or {}).get("checkout_id")
    return found or None


def currency_of(stripe_object: StripeObject) -> str:
    """Return an object's currency in lower case; `NO_CURRENCY` if Stripe sent none, or a text that is no code.

    The money is booked even then: a paid order must not stay open. The mismatch opens a review.
    """
    code = str(stripe_object.get("currency") or "").lower()
    return code if CURRENCY.fullmatch(code) else NO_CURRENCY


def presentment_of(stripe_object: StripeObject) -> tuple[str, int] | None:
    """Return the currency and amount on the customer's bank statement (Stripe's `presentment_details`).

    Return None if Stripe gives none.
    """
    details = stripe_object.get("presentment_details") or {}
    code, amount = str(details.get("presentment_currency")), details.get("presentment_amount")
    return (code, amount) if amount and CURRENCY.fullmatch(code) else None


def to_datetime(seconds: int) -> datetime:
    """Convert one of Stripe's times from Unix seconds to a datetime in UTC."""
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
