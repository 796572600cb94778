"""Stripe Radar: reviews and early fraud warnings hold an order until an operator decides.

Both name only a payment, so their events find the order as refunds do. An approval in Stripe's dashboard is a decision,
too: it releases the hold. Any other end of a review keeps it.
"""

from events.messaging.contracts import ReviewReason
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.orders import Order
from orders.models.timeline import EntryKind
from orders.reviews import STRIPE_ACTOR, open_review, release_review
from orders.stripe_objects import StripeObject
from orders.timeline import add_entry

ROUTING_KEYS = ("stripe.review.opened", "stripe.review.closed")
WARNING_ROUTING_KEYS = ("stripe.radar.early_fraud_warning.created", "stripe.radar.early_fraud_warning.updated")
APPROVED = "approved"


def record_radar_review(session: Session, order: Order, obj: StripeObject, cause: Cause) -> None:
    """Hold the order while Stripe's review `obj` is open, and release it once the payment is approved.

    The order must be locked.
    """
    closed_reason = obj.get("closed_reason")
    if closed_reason == APPROVED:
        release_review(session, order, ReviewReason.RADAR_REVIEW, obj["id"], STRIPE_ACTOR, cause)
        add_entry(session, order, cause, EntryKind.RADAR, f"The payment was approved in Stripe's review {obj['id']}.")
        return
    opened_by = {"rule": "a rule of Stripe Radar", "manual": "a person"}.get(str(obj.get("opened_reason")), "Stripe")
    detail = f"The payment {obj['payment_intent']} was placed in review by {opened_by} ({obj['id']})."
    open_review(session, order, ReviewReason.RADAR_REVIEW, detail, cause, subject=obj["id"])
    if closed_reason:
        text = f"Stripe's review {obj['id']} is closed: {str(closed_reason).replace('_', ' ')}."
        add_entry(session, order, cause, EntryKind.RADAR, f"{text} The order is held until an operator decides.")


def record_fraud_warning(session: Session, order: Order, obj: StripeObject, cause: Cause) -> None:
    """Hold the order because the card's bank suspects fraud. A warning that needs no action is only an entry.

    Stripe says that a warning needs no action once the payment is disputed or fully refunded. The order must be locked.
    """
    kind = str(obj.get("fraud_type") or "unknown").replace("_", " ")
    detail = f"The bank suspects fraud with the payment {obj['payment_intent']}: {kind} ({obj['id']})."
    if obj.get("actionable") is False:
        add_entry(session, order, cause, EntryKind.RADAR, detail)
        return
    open_review(session, order, ReviewReason.EARLY_FRAUD_WARNING, detail, cause, subject=obj["id"])
