"""Stripe's objects as plain JSON values, and what several modules read from them."""

from datetime import UTC, datetime
from typing import Any

StripeObject = dict[str, Any]

PAGE_SIZE = 100  # objects: Stripe's maximum for one page of a list


def checkout_id_of(obj: StripeObject) -> str | None:
    """Return the id of the checkout that an object belongs to; None if our checkout did not create the object."""
    found = (obj.get("metadata") or {}).get("checkout_id")
    return str(found) if found else None


def to_datetime(seconds: int) -> datetime:
    """Return one of Stripe's times, which are Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)
