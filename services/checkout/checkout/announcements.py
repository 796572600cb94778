"""What the other services learn of a checkout, promised in the transaction that makes it true."""

from collections.abc import Mapping
from typing import Any

from events.database import transaction
from events.messaging import outbox
from events.messaging.event import Event
from sqlalchemy.orm import Session

from checkout.models import Checkout

LINE = ("sku", "name", "quantity", "unit_amount", "amount_total")


def locked(session: Session, checkout_id: str) -> Checkout | None:
    """The checkout as it stands now; nobody else changes it before the transaction ends."""
    return transaction.lock_rows(session, Checkout, [checkout_id]).get(checkout_id)


def record_session(
    session: Session, checkout: Checkout, found: Mapping[str, Any], causation: Event | None = None
) -> bool:
    """Take in Stripe's session and announce the checkout; False if that was done before."""
    if not checkout.adopt(found):
        return False
    data = {
        "checkout_id": checkout.id,
        "session_id": checkout.session_id,
        "livemode": checkout.livemode,
        "promotion_codes": bool(checkout.page.get("promotion_codes")),
        "currency": checkout.currency,
        "amount_subtotal": checkout.amount_subtotal,
        "amount_discount": checkout.amount_discount,
        "amount_shipping": checkout.amount_shipping,
        "amount_total": checkout.amount_total,
        "customer_email": checkout.customer_email,
        "locale": checkout.locale,
        "discount_code": checkout.discount_code,
        "expires_at": checkout.expires_at,
        "lines": [{name: line[name] for name in LINE} for line in checkout.lines],
    }
    outbox.add(session, "checkout.checkout.started", data, correlation_id=checkout.id, causation=causation)
    return True


def announce_canceled(session: Session, checkout: Checkout) -> None:
    """Nobody will pay this one, and nobody needs to be reminded of it."""
    data = {"checkout_id": checkout.id, "session_id": checkout.session_id}
    outbox.add(session, "checkout.checkout.canceled", data, correlation_id=checkout.id)
