"""Stripe Radar: reviews and early fraud warnings hold an order until an operator decides.

Their events name only a payment, so the order is found by its payment, as for refunds. An approval in Stripe's
dashboard counts as a decision and releases the hold. If a review at Stripe ends in any other way, the hold stays.
"""

from events.messaging.contracts.reviews import ReviewReason
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.orders import Order
from orders.models.reviews import Review
from orders.models.timeline import EntryKind
from orders.reviews import STRIPE_ACTOR, open_review, release_review
from orders.stripe_objects import StripeObject
from orders.timeline import add_entry

ROUTING_KEYS = ("stripe.review.opened", "stripe.review.closed")
WARNING_ROUTING_KEYS = ("stripe.radar.early_fraud_warning.created", "stripe.radar.early_fraud_warning.updated")
APPROVED = "approved"


def record_radar_review(session: Session, order: Order, stripe_review: StripeObject, cause: Cause) -> None:
    """Open a review of the order for Stripe's review, and accept it once Stripe reports the payment as approved.

    The order must be locked.
    """
    closed_reason = stripe_review.get("closed_reason")
    if closed_reason == APPROVED:
        release_review(session, order, ReviewReason.RADAR_REVIEW, stripe_review["id"], STRIPE_ACTOR, cause)
        add_entry(
            session,
            order,
            cause,
            EntryKind.RADAR,
            f"The payment was approved in Stripe's review {stripe_review['id']}.",
        )
        return
    opened_by = {"rule": "a rule of Stripe Radar", "manual": "a person"}.get(
        str(stripe_review.get("opened_reason")), "Stripe"
    )
    detail = (
        f"The payment {stripe_review['payment_intent']} was placed in review by {opened_by} ({stripe_review['id']})."
    )
    open_review(session, order, ReviewReason.RADAR_REVIEW, detail, cause, subject=stripe_review["id"])
    if closed_reason:
        text = f"Stripe's review {stripe_review['id']} is closed: {str(closed_reason).replace('_', ' ')}."
        held = " The order is held until an operator decides." if _is_held(session, order, stripe_review["id"]) else ""
        add_entry(session, order, cause, EntryKind.RADAR, text + held)


def record_fraud_warning(session: Session, order: Order, warning: StripeObject, cause: Cause) -> None:
    """Open a review of the order because the card's bank suspects fraud.

    A warning that is not `actionable` only adds a timeline entry: the payment is already disputed or fully refunded.
    The order must be locked.
    """
    kind = str(warning.get("fraud_type") or "unknown").replace("_", " ")
    detail = f"The bank suspects fraud with the payment {warning['payment_intent']}: {kind} ({warning['id']})."
    if warning.get("actionable") is False:
        add_entry(session, order, cause, EntryKind.RADAR, detail)
        return
    open_review(session, order, ReviewReason.EARLY_FRAUD_WARNING, detail, cause, subject=warning["id"])


def _is_held(session: Session, order: Order, stripe_review_id: str) -> bool:
    """Return True if our review for Stripe's review has no decision yet, and the order is not canceled."""
    review = session.get_one(Review, (order.id, ReviewReason.RADAR_REVIEW, stripe_review_id))
    return review.decision is None and order.fulfillment_canceled_at is None
