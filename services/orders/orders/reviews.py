"""Reviews: opened once per reason and subject; resolved by an operator, the shop's policy or an event from Stripe."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from events.clock import utcnow
from events.database.engine import Database
from events.database.errors import is_away
from events.database.transaction import insert_once, skip_locked
from events.messaging.contracts.reviews import POLICY, ReviewDecision, ReviewReason
from events.messaging.event import new_id
from events.observability.logging import get_logger
from sqlalchemy import exists, or_, select, tuple_
from sqlalchemy.orm import Session

from orders.acts import Act, record_act
from orders.cancellation import cancel_goods
from orders.causes import Cause
from orders.errors import DisputedRefundError, NothingToReviewError, OrderNotPaidError, ReviewResolvedError
from orders.goods import load_goods, refunds_cover_payments, to_lines, unshipped_pieces, update_fulfillment
from orders.models.orders import Order, OrderDisputeStatus, OrderStatus
from orders.models.refunds import RefundRequest
from orders.models.reviews import Review
from orders.models.timeline import EntryKind
from orders.publishing import publish, publish_paid_order
from orders.refunds.requests import RefundParams, check_disputes, request_rest
from orders.timeline import add_entry, format_note

POLICY_BATCH_SIZE = 50  # orders per query of the policy
STRIPE_ACTOR = "Stripe"  # who resolves a review whose cause is gone at Stripe
CANCELLATION = "cancellation"  # `resolved_by` of a review that needs no decision: the order was canceled before
DECISION_TEXTS = {  # what `{actor}` did and what follows from it
    ReviewDecision.ACCEPT: "accepted the order ({reason}).",
    ReviewDecision.REFUND: "decided to refund the order ({reason}). Nothing more of it ships.",
    ReviewDecision.CANCEL: "canceled the order ({reason}). Nothing more of it ships, and no refund starts by itself.",
}
REFUND_DUPLICATE_TEXT = "decided to refund the duplicate payment ({reason}). The rest of the order does not change."

log = get_logger(__name__)


def open_review(
    session: Session,
    order: Order,
    reason: ReviewReason,
    detail: str,
    cause: Cause,
    *,
    subject: str = "",
    missing: Mapping[str, int] | None = None,
) -> bool:
    """Open a review of the order, with a timeline entry and an event. Return False if this review exists.

    A review of missing pieces needs no decision if the order is already canceled. It is stored as accepted, because
    returns to the stock need the number of missing pieces, and no event is published. If refunds cover all payments of
    an order with missing pieces, the event says so with `is_refunded`.

    The order shows the most severe of its open reviews. The timeline shows all of them.
    """
    key = {"order_id": order.id, "reason": reason, "subject": subject}
    values = {"detail": detail, "missing": dict(missing or {}), "opened_at": cause.occurred_at}
    is_canceled = bool(missing) and order.fulfillment_canceled_at is not None
    if is_canceled:
        values |= {"decision": ReviewDecision.ACCEPT, "resolved_by": CANCELLATION, "resolved_at": cause.occurred_at}
    if not insert_once(session, Review, **key, **values):
        return False
    session.expire(order, ["reviews"])
    if is_canceled:
        text = f"{detail} The order is canceled, so this needs no decision."
        add_entry(session, order, cause, EntryKind.REVIEW_RESOLVED, text)
        return True
    _update_order(order, _reviews(session, order))
    add_entry(session, order, cause, EntryKind.REVIEW_OPENED, f"Needs review ({reason}): {detail}")
    fields = {"reason": reason, "detail": detail, "subject": subject or None}
    is_refunded = bool(missing) and refunds_cover_payments(order, order.refund_requests)
    publish(session, order, "orders.review.opened", cause, is_refunded=is_refunded, **fields)
    return True


def resolve(
    session: Session,
    order: Order,
    decision: ReviewDecision,
    actor: str,
    note: str | None = None,
    *,
    key: str | None = None,
    due_at: datetime | None = None,
) -> Sequence[RefundRequest]:
    """Resolve all open reviews of the order and return the refund requests that follow.

    The order must be locked. The worker sends the refund requests at `due_at`, unless the caller sends them before.
    A repeat of the last decision or of the same key does nothing. Raises `NothingToReviewError`,
    `ReviewResolvedError`, `OrderNotPaidError`, `DisputedRefundError` and `KeyReusedError`.
    """
    if not record_act(session, order, Act("review", {"decision": decision, "note": note}), key, actor):
        return ()
    reviews = _reviews(session, order)
    unresolved = [review for review in reviews if review.decision is None]
    if not unresolved:
        _check_same_decision(order, reviews, decision)
        return ()
    if order.status != OrderStatus.PAID:
        raise OrderNotPaidError(order.number, order.status)
    if decision == ReviewDecision.REFUND:
        check_disputes(order, _payments_to_refund(unresolved))
    most_severe, cause = _most_severe(unresolved), Cause.now(new_id("rev"))
    for review in unresolved:
        review.decision, review.resolved_by, review.resolved_at, review.note = decision, actor, cause.occurred_at, note
    _update_order(order, reviews)
    refunds_duplicate = decision == ReviewDecision.REFUND and _are_duplicates(unresolved)
    text = (REFUND_DUPLICATE_TEXT if refunds_duplicate else DECISION_TEXTS[decision]).format(reason=most_severe.reason)
    add_entry(session, order, cause, EntryKind.REVIEW_RESOLVED, f"{actor} {text}{format_note(note)}")
    was_published = order.paid_published_at is not None
    if any(review.blocks_shipping for review in unresolved):
        cancel_goods(session, order, cause, RefundParams(note=note), actor)
    update_fulfillment(session, order)
    resolution = {
        "reason": most_severe.reason,
        "subject": most_severe.subject or None,
        "decision": decision,
        "resolved_by": actor,
        "was_confirmed": was_published,
        "also_resolved": [
            {"reason": review.reason, "subject": review.subject or None}
            for review in unresolved
            if review is not most_severe
        ],
        "shipped_before": to_lines(load_goods(order).shipped),
        "unshipped_before": to_lines(unshipped_pieces(order, cause.occurred_at)),
    }
    publish(session, order, "orders.review.resolved", cause, **resolution)
    if decision == ReviewDecision.ACCEPT or refunds_duplicate:
        publish_paid_order(session, order, cause)
    if decision == ReviewDecision.REFUND:
        return _request_refunds(session, order, unresolved, RefundParams(note=note), actor, cause, due_at)
    return ()


def release_review(
    session: Session, order: Order, reason: ReviewReason, subject: str, actor: str, cause: Cause
) -> None:
    """Accept one review whose cause is gone, and publish the order as paid if nothing else prevents that.

    A review that does not exist yet is stored as accepted, so that a late event does not open it. A decided review does
    not change.
    """
    key = {"order_id": order.id, "reason": reason, "subject": subject}
    decided = {"decision": ReviewDecision.ACCEPT, "resolved_by": actor, "resolved_at": cause.occurred_at}
    values = {"detail": "", "missing": {}, "opened_at": cause.occurred_at, **decided}
    if insert_once(session, Review, **key, **values):
        return
    review = session.get_one(Review, (order.id, reason, subject))
    if review.decision is not None:
        return
    review.decision, review.resolved_by, review.resolved_at = ReviewDecision.ACCEPT, actor, cause.occurred_at
    reviews = _reviews(session, order)
    _update_order(order, reviews)
    text = f"{actor} {DECISION_TEXTS[ReviewDecision.ACCEPT].format(reason=reason)}"
    add_entry(session, order, cause, EntryKind.REVIEW_RESOLVED, text)
    resolution = {
        "reason": reason,
        "subject": subject or None,
        "decision": ReviewDecision.ACCEPT,
        "resolved_by": actor,
        "was_confirmed": order.paid_published_at is not None,
    }
    publish(session, order, "orders.review.resolved", cause, **resolution)
    if not any(review.blocks_shipping for review in reviews):
        publish_paid_order(session, order, cause)


def resolve_by_policy(database: Database, reasons: Collection[str]) -> None:
    """Refund paid orders whose open reviews all have one of these reasons, oldest first. The worker sends the refunds.

    An order whose refund an open chargeback blocks is left to an operator. An order that is locked or whose decision
    fails is left to the next run, and delays no other order. Raises the driver's error while the database is away.
    """
    after: tuple[datetime, str] | None = None
    while found := _waiting_for_policy(database, reasons, after):
        for _, order_id in found:
            _resolve_and_log(database, order_id, reasons)
        after = found[-1]


def _waiting_for_policy(
    database: Database, reasons: Collection[str], after: tuple[datetime, str] | None
) -> list[tuple[datetime, str]]:
    """Return the creation times and ids of the next orders that the policy can decide about."""
    key = tuple_(Order.created_at, Order.id)
    other_reason = exists().where(Review.order_id == Order.id, Review.decision.is_(None), Review.reason.not_in(reasons))
    # A refund of only a duplicate payment is possible while the bank disputes another one: `resolve` checks that.
    is_undisputed = or_(
        Order.dispute_status != OrderDisputeStatus.OPEN, Order.review_reason == ReviewReason.DUPLICATE_PAYMENT
    )
    waiting = select(Order.created_at, Order.id).where(
        Order.needs_review, Order.review_reason.in_(reasons), Order.status == OrderStatus.PAID, is_undisputed
    )
    if after:
        waiting = waiting.where(key > after)
    waiting = waiting.where(~other_reason).order_by(Order.created_at, Order.id).limit(POLICY_BATCH_SIZE)
    with database.read() as session:
        return [(created_at, order_id) for created_at, order_id in session.execute(waiting)]


def _resolve_and_log(database: Database, order_id: str, reasons: Collection[str]) -> None:
    try:
        with database.begin() as session:
            order = session.scalar(skip_locked(session, select(Order).where(Order.id == order_id)))
            if order is None:
                return
            unresolved = [review for review in _reviews(session, order) if review.decision is None]
            if unresolved and all(review.reason in reasons for review in unresolved):
                resolve(session, order, ReviewDecision.REFUND, POLICY, due_at=utcnow())
    except DisputedRefundError:
        log.debug("REVIEW_AUTO_REFUND does not refund an order with an open chargeback", order_id=order_id)
    except Exception as error:  # the next run tries again; meanwhile it must not block the other orders
        if is_away(error):
            raise
        log.exception("REVIEW_AUTO_REFUND could not refund an order: the next run tries again", order_id=order_id)


def _request_refunds(
    session: Session,
    order: Order,
    reviews: Sequence[Review],
    params: RefundParams,
    actor: str,
    cause: Cause,
    due_at: datetime | None,
) -> Sequence[RefundRequest]:
    """Store refund requests for the rest of all payments, or only of duplicate ones if all reviews are about these."""
    payments = _payments_to_refund(reviews)
    if payments is not None:
        params = replace(params, reason="duplicate")
    return request_rest(session, order, cause, params, actor, payments=payments, due_at=due_at)


def _payments_to_refund(reviews: Sequence[Review]) -> set[str] | None:
    """Return the ids of the payments that a refund of these reviews is about, or None for all of the order's."""
    return {review.subject for review in reviews} if _are_duplicates(reviews) else None


def _update_order(order: Order, reviews: Sequence[Review]) -> None:
    """Derive the order's review columns again."""
    unresolved = [review for review in reviews if review.decision is None]
    most_severe = _most_severe(unresolved) if unresolved else None
    order.needs_review = most_severe is not None
    order.review_reason = most_severe.reason if most_severe else None
    order.review_detail = most_severe.detail if most_severe else None


def _most_severe(reviews: Sequence[Review]) -> Review:
    return min(reviews, key=lambda review: list(ReviewReason).index(ReviewReason(review.reason)))


def _are_duplicates(reviews: Sequence[Review]) -> bool:
    return all(review.reason == ReviewReason.DUPLICATE_PAYMENT for review in reviews)


def _check_same_decision(order: Order, reviews: Sequence[Review], decision: ReviewDecision) -> None:
    """Raise an error unless the order's last review was resolved with this decision."""
    if not reviews:
        raise NothingToReviewError(order.number)
    last = max(reviews, key=lambda review: (review.resolved_at, review.reason))
    if last.decision != decision:
        raise ReviewResolvedError(last.resolved_by, last.decision)


def _reviews(session: Session, order: Order) -> Sequence[Review]:
    session.flush()
    return session.scalars(select(Review).where(Review.order_id == order.id)).all()
