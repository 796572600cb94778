"""The checkout events that other services read, added to the outbox in the transaction that causes them."""

from collections.abc import Mapping
from typing import Any

from events.messaging import outbox
from events.messaging.contracts.checkout import CancelReason
from events.messaging.event import Event
from sqlalchemy.orm import Session

from checkout.models import Checkout

PUBLISHED_OPTION_FIELDS = ("id", "name", "amount", "countries")
PUBLISHED_LINE_FIELDS = ("sku", "name", "quantity", "unit_amount", "amount_total")


def attach_session_and_publish(
    session: Session, checkout: Checkout, stripe_session: Mapping[str, Any], causation: Event | None = None
) -> bool:
    """Attach Stripe's session to a locked checkout and publish that the checkout has started.

    Returns False, and publishes nothing, if a session is attached already.
    """
    if not checkout.attach_session(stripe_session):
        return False
    data = {
        "checkout_id": checkout.id,
        "session_id": checkout.session_id,
        "livemode": checkout.livemode,
        "promotion_codes": bool(checkout.session_options.get("allow_promotion_codes")),
        "needs_shipping": bool(checkout.shipping or checkout.session_options.get("shipping_countries")),
        "currency": checkout.currency,
        "amount_subtotal": checkout.amount_subtotal,
        "amount_discount": checkout.amount_discount,
        "amount_shipping": checkout.amount_shipping,
        "amount_total": checkout.amount_total,
        "customer_email": checkout.customer_email,
        "locale": checkout.locale,
        "discount_code": checkout.discount_code,
        "expires_at": checkout.expires_at,
        "shipping_options": [
            {name: option[name] for name in PUBLISHED_OPTION_FIELDS} for option in checkout.shipping_options
        ],
        "lines": [{name: line[name] for name in PUBLISHED_LINE_FIELDS} for line in checkout.lines],
    }
    outbox.add(session, "checkout.checkout.started", data, correlation_id=checkout.id, causation=causation)
    return True


def publish_canceled(session: Session, checkout: Checkout, reason: CancelReason) -> None:
    """Publish that a locked checkout was canceled or abandoned. The customer then gets no reminder of the cart."""
    data = {"checkout_id": checkout.id, "session_id": checkout.session_id, "reason": reason}
    outbox.add(session, "checkout.checkout.canceled", data, correlation_id=checkout.id)
