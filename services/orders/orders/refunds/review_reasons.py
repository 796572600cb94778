"""The reason of the review that ended in a refund, for the customer's e-mail about the refund."""

from events.messaging.contracts.reviews import ReviewDecision
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.models.refunds import Refund, RefundRequest
from orders.models.reviews import Review
from orders.refunds.requests import KEY_SEPARATOR

REVIEW_ID_PREFIX = "rev_"  # of the ids of decisions on reviews, with which the keys of their refund requests begin


def review_reason_of(session: Session, refund: Refund) -> str | None:
    """Return the reason of the review that ended in this refund; None for other refunds."""
    request = session.get(RefundRequest, refund.refund_request_id) if refund.refund_request_id else None
    if request is None or not _follows_from_review(request):
        return None
    refunded = (Review.order_id == refund.order_id, Review.decision == ReviewDecision.REFUND)
    reviews = session.scalars(select(Review).where(*refunded).order_by(Review.resolved_at)).all()
    about_payment = [review for review in reviews if review.subject == refund.payment_id]
    found = about_payment or [review for review in reviews if not review.subject] or list(reviews)
    return found[-1].reason if found else None


def _follows_from_review(request: RefundRequest) -> bool:
    key = request.idempotency_key
    return KEY_SEPARATOR in key and key.startswith(REVIEW_ID_PREFIX)
