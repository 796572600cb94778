"""The reason of the review that ended in a refund, for the customer's e-mail about the refund."""

from events.messaging.contracts.reviews import ReviewDecision
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.models.refunds import Refund, RefundRequest
from orders.models.reviews import Review

REVIEW_KEY_PREFIX = "rev_"  # a review's id begins the idempotency keys of its refund requests


def review_reason_of(session: Session, refund: Refund) -> str | None:
    """Return the reason of the review that ended in this refund; None for other refunds."""
    request = session.get(RefundRequest, refund.refund_request_id) if refund.refund_request_id else None
    if request is None or not request.idempotency_key.startswith(REVIEW_KEY_PREFIX):
        return None
    refunded = (Review.order_id == refund.order_id, Review.decision == ReviewDecision.REFUND)
    reviews = session.scalars(select(Review).where(*refunded).order_by(Review.resolved_at)).all()
    about_payment = [review for review in reviews if review.subject == refund.payment_id]
    found = about_payment or [review for review in reviews if not review.subject] or list(reviews)
    return found[-1].reason if found else None
