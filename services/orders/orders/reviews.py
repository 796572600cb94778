"""What does not fit waits for a decision: opened once per reason and subject, settled by a person or the policy."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import insert_once
from events.messaging import outbox
from events.messaging.contracts import REVIEW_REASONS
from events.messaging.event import new_id
from events.web.problems import Problem
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.announcements import Cause, announce, confirm, note
from orders.intentions import RefundWish, store
from orders.models import PAID, Order, RefundIntention, Review
from orders.models.operations import ACCEPT, CANCEL, DUPLICATE, REFUND
from orders.refunding import locked_order
from orders.shipments import left_to_ship
from orders.sums import payments_of, refundable

POLICY = "policy"
DECIDED = {
    ACCEPT: "accepted the order as it is: it may ship",
    REFUND: "decided to give the money back: nothing ships",
    CANCEL: "decided that nothing ships and nothing is refunded from here",
}
ONE_PAYMENT_BACK = "decided to give the second payment back; the order itself stands"


def open_review(
    session: Session,
    order: Order,
    reason: str,
    detail: str,
    cause: Cause,
    *,
    subject: str = "",
    missing: Mapping[str, int] | None = None,
) -> None:
    """Leave an order to a person. Of several reasons the order shows the gravest, the timeline all."""
    found = {"order_id": order.id, "reason": reason, "subject": subject, "detail": detail}
    if not insert_once(session, Review, **found, missing=dict(missing or {}), opened_at=cause.at):
        return
    _derive(order, _reviews(session, order))
    note(session, order, cause, "review", f"Needs a decision ({reason}): {detail}")
    announce(session, order, "orders.review.opened", cause, reason=reason, detail=detail)


def settle(
    session: Session, order: Order, decision: str, actor: str, remark: str | None = None, *, due: datetime | None = None
) -> Sequence[RefundIntention]:
    """Decide all that is open; the refunds that follow from it. Raises `Problem` 409; the same decision twice is none.

    `due`: when the worker asks Stripe for them, if the caller does not.
    """
    reviews = _reviews(session, order)
    undecided = [review for review in reviews if review.decision is None]
    if not undecided:
        _check_settled(reviews, decision)
        return ()
    if order.status != PAID:
        raise Problem(409, "order-not-paid", "The payment is not here yet: decide when it is.")
    gravest, cause = _gravest(undecided), Cause.now(new_id("rev"))
    for review in undecided:
        review.decision, review.resolved_by, review.resolved_at, review.note = decision, actor, cause.at, remark
    _derive(order, reviews)
    why = f" “{remark}”" if remark else ""
    only_twice = all(review.reason == DUPLICATE for review in undecided)
    text = ONE_PAYMENT_BACK if decision == REFUND and only_twice else DECIDED[decision]
    note(session, order, cause, "review-resolved", f"{actor} {text} ({gravest.reason}).{why}")
    settled = {"reason": gravest.reason, "decision": decision, "resolved_by": actor}
    announce(session, order, "orders.review.resolved", cause, **settled)
    if decision == ACCEPT and not any(review.holds for review in reviews):
        confirm(session, order, cause)
    return _refund(session, order, undecided, actor, remark, cause, due) if decision == REFUND else ()


def settle_by_policy(database: Database, reasons: Collection[str]) -> None:
    """Refund what is open for one of these reasons: the shop has said beforehand that it cannot be fulfilled."""
    waiting = select(Order.id).where(Order.needs_review, Order.review_reason.in_(reasons), Order.status == PAID)
    with database.read() as session:
        order_ids = session.scalars(waiting).all()
    for order_id in order_ids:
        with database.begin() as session:
            order = locked_order(session, order_id)
            if order.needs_review and order.review_reason in reasons:
                settle(session, order, REFUND, POLICY, due=utcnow())


def _refund(
    session: Session,
    order: Order,
    reviews: Sequence[Review],
    actor: str,
    remark: str | None,
    cause: Cause,
    due: datetime | None,
) -> Sequence[RefundIntention]:
    """All that is left of the payments, and what was really sold back to the shelf; or the second payment alone."""
    if all(review.reason == DUPLICATE for review in reviews):
        twice, back = {review.subject for review in reviews}, []
        payments = [payment for payment in payments_of(order) if payment.id in twice]
    else:
        payments, back = list(payments_of(order)), _sold(session, order)
    wish = RefundWish(reason="duplicate" if not back and len(payments) == 1 else None, note=remark)
    intentions: list[RefundIntention] = []
    for payment in payments:
        if left := refundable(session, payment):
            key = f"{cause.id}-{payment.id}"
            lines = back if not intentions else []
            intentions.append(store(session, order, payment, left, lines, wish, key, actor, due=due))
    if back and not intentions:  # refunded in Stripe's dashboard before
        lines = [{"sku": line["sku"], "quantity": line["quantity"]} for line in back]
        data = {"order_id": order.id, "checkout_id": order.checkout_id, "return_id": cause.id, "lines": lines}
        outbox.add(session, "orders.stock.returned", data, correlation_id=order.checkout_id)
    return intentions


def _sold(session: Session, order: Order) -> list[dict[str, object]]:
    """What was taken from the shelf and is still with the shop: without what was missing, and what has shipped."""
    missing: dict[str, int] = {}
    for review in _reviews(session, order):
        missing |= review.missing
    left = {sku: quantity - missing.get(sku, 0) for sku, quantity in left_to_ship(session, order).items()}
    return [{"sku": sku, "quantity": quantity, "restock": True} for sku, quantity in left.items() if quantity > 0]


def _derive(order: Order, reviews: Sequence[Review]) -> None:
    undecided = [review for review in reviews if review.decision is None]
    gravest = _gravest(undecided) if undecided else None
    order.needs_review = gravest is not None
    order.review_reason = gravest.reason if gravest else None
    order.review_detail = gravest.detail if gravest else None


def _gravest(reviews: Sequence[Review]) -> Review:
    return min(reviews, key=lambda review: REVIEW_REASONS.index(review.reason))


def _check_settled(reviews: Sequence[Review], decision: str) -> None:
    if not reviews:
        raise Problem(409, "nothing-to-review", "Nothing about this order has to be decided.")
    last = max(reviews, key=lambda review: (review.resolved_at, review.reason))
    if last.decision != decision:
        detail = f"{last.resolved_by} has decided otherwise: {last.decision}."
        raise Problem(409, "review-resolved", detail, decision=last.decision, resolved_by=last.resolved_by)


def _reviews(session: Session, order: Order) -> Sequence[Review]:
    session.flush()
    return session.scalars(select(Review).where(Review.order_id == order.id)).all()
