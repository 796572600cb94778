"""Booking of Stripe's refunds in the order: from overlapping events, from the answer to our call, and from lookups.

A refund is booked once, by its id. Repeats change nothing. The sum of refunds in a charge is not booked: only the
refunds that the charge lists are, and lookups.py fetches the refunds that it does not list.
"""

from collections.abc import Mapping, Sequence

from events.database.notify import increment_after_commit
from events.database.transaction import insert_once
from events.messaging.contracts.refunds import RefundStatus
from events.money import format_amount
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.goods import update_fulfillment
from orders.models.orders import Order
from orders.models.refunds import Refund, RefundRequest
from orders.models.timeline import EntryKind
from orders.publishing import publish, publish_paid_order
from orders.refunds.gateway import REQUEST_ID_KEY
from orders.refunds.requests import has_open_chargeback
from orders.refunds.review_reasons import review_reason_of
from orders.returns import publish_returns
from orders.stripe_objects import UNKNOWN_STATUS, StripeObject, created_at_of, currency_of, presentment_of
from orders.timeline import add_entry
from orders.totals import update_totals

EVENT_TYPES: Mapping[RefundStatus | None, str] = {
    RefundStatus.SUCCEEDED: "orders.refund.succeeded",
    RefundStatus.FAILED: "orders.refund.failed",
    RefundStatus.CANCELED: "orders.refund.failed",
}
ENTRY_KINDS: Mapping[RefundStatus | None, EntryKind] = {
    RefundStatus.REQUIRES_ACTION: EntryKind.REFUND_REQUIRES_ACTION,
    RefundStatus.PENDING: EntryKind.REFUND_PENDING,
    RefundStatus.SUCCEEDED: EntryKind.REFUND_SUCCEEDED,
    RefundStatus.CANCELED: EntryKind.REFUND_CANCELED,
    RefundStatus.FAILED: EntryKind.REFUND_FAILED,
}
DISPUTED_TEXT = "The customer disputes the payment. Pay nothing back: the bank decides"
DISPUTED = "charge_for_pending_refund_disputed"  # Stripe's failure reason: a chargeback came before the refund

REFUNDS = Counter("clozit_refunds_total", "Changes of refund statuses, by the new status", ["status"])
from_zero(REFUNDS, [*RefundStatus, UNKNOWN_STATUS])

log = get_logger(__name__)


def book_refund(session: Session, order: Order, stripe_refund: StripeObject, cause: Cause) -> Refund:
    """Book Stripe's refund and return it. Update the order's totals, pieces and timeline, and publish the changes.

    A refund of a request updates the request, too. A repeat without news changes nothing. The order must be locked.
    """
    request, status = _request_of(session, order, stripe_refund), stripe_refund.get("status") or UNKNOWN_STATUS
    # An answer of Stripe's has no time of its own, and our clock differs: its status is as old as the refund.
    created_at = created_at_of(stripe_refund, cause.occurred_at)
    status_at = cause.occurred_at if cause.event else created_at
    is_new = insert_once(
        session,
        Refund,
        id=stripe_refund["id"],
        order_id=order.id,
        payment_id=stripe_refund["payment_intent"],
        refund_request_id=request.id if request else None,
        status=status,
        status_at=status_at,
        currency=currency_of(stripe_refund),
        amount=stripe_refund["amount"],
        reason=stripe_refund.get("reason"),
        failure_reason=stripe_refund.get("failure_reason"),
        created_at=created_at,
    )
    if is_new:
        session.expire(order, ["refunds"])
    refund = session.get_one(Refund, stripe_refund["id"])
    if refund.presentment_amount is None and (presentment := presentment_of(stripe_refund)):  # it can come later
        refund.presentment_currency, refund.presentment_amount = presentment
    changed = refund.record_status(status, stripe_refund.get("failure_reason"), status_at) or is_new
    if request:
        _link(session, order, request, refund)
    if changed:
        increment_after_commit(session, REFUNDS.labels(_known(refund.status) or UNKNOWN_STATUS))
        update_totals(order)
        update_fulfillment(session, order)
        kind = ENTRY_KINDS.get(_known(refund.status), EntryKind.REFUND_STATUS)
        add_entry(session, order, cause, kind, _entry_text(order, refund, request))
        if event_type := EVENT_TYPES.get(_known(refund.status)):
            _publish_refund(session, order, refund, event_type, cause)
        publish_paid_order(session, order, cause)  # a failed refund frees the order
    return refund


def publish_refunds_again(session: Session, orders: Sequence[tuple[Order, Cause]]) -> None:
    """Publish the succeeded refunds of orders whose customer's e-mail address has just become known.

    They were booked before the session's event, so their events have no address, and no e-mail could be written.
    """
    for order, cause in orders:
        for refund in order.refunds:
            if (status := _known(refund.status)) == RefundStatus.SUCCEEDED:
                _publish_refund(session, order, refund, EVENT_TYPES[status], cause)


def _request_of(session: Session, order: Order, stripe_refund: StripeObject) -> RefundRequest | None:
    """Return the request named in the refund's metadata, if it is of this order: people can copy metadata by hand."""
    request_id = (stripe_refund.get("metadata") or {}).get(REQUEST_ID_KEY)
    found = session.get(RefundRequest, request_id) if request_id else None
    return found if found is not None and found.order_id == order.id else None


def _link(session: Session, order: Order, request: RefundRequest, refund: Refund) -> None:
    """Record Stripe's answer to the request, and publish the pieces that go to the stock or leave it again."""
    if not request.link_refund(refund):
        log.error(
            "stripe has a second refund for a refund request, check in stripe's dashboard if too much was refunded",
            refund_request_id=request.id,
            refund_id=refund.id,
        )
        return
    publish_returns(session, order, request)


def _known(status: str) -> RefundStatus | None:
    """Return Stripe's status as a `RefundStatus`; None for a status that this release does not know."""
    return RefundStatus(status) if status in [*RefundStatus] else None


def _publish_refund(session: Session, order: Order, refund: Refund, event_type: str, cause: Cause) -> None:
    publish(
        session,
        order,
        event_type,
        cause,
        refund_id=refund.id,
        refund_request_id=refund.refund_request_id,
        refund_status=refund.status,
        refund_amount=refund.amount,
        refund_currency=refund.currency,
        presentment_currency=refund.presentment_currency,
        presentment_amount=refund.presentment_amount,
        review_reason=review_reason_of(session, refund),
        amount_refunded=order.amount_refunded,
        failure_reason=refund.failure_reason,
        is_disputed=_is_disputed(order, refund),
    )


def _is_disputed(order: Order, refund: Refund) -> bool:
    """Return True if the bank, and not the shop, has the money of a failed refund: the customer disputes the payment.

    Stripe's failure reason counts, too, because the event of the dispute can arrive later.
    """
    has_failed = _known(refund.status) in (RefundStatus.FAILED, RefundStatus.CANCELED)
    return has_failed and (refund.failure_reason == DISPUTED or has_open_chargeback(order, {refund.payment_id}))


def _entry_text(order: Order, refund: Refund, request: RefundRequest | None) -> str:
    amount, is_disputed = format_amount(refund.amount, refund.currency), _is_disputed(order, refund)
    origin = f"{refund.id}, " + (f"requested by {request.requested_by}" if request else "made in Stripe's dashboard")
    match _known(refund.status):
        case RefundStatus.SUCCEEDED:
            total = format_amount(order.amount_refunded_in(refund.currency), refund.currency)
            return f"{amount} was refunded to the customer ({origin}). Refunded so far: {total}."
        case RefundStatus.REQUIRES_ACTION:
            return f"The refund of {amount} waits for the customer: Stripe asked them where to send it ({origin})."
        case RefundStatus.PENDING:
            return f"The refund of {amount} is on its way to the customer ({origin})."
        case RefundStatus.CANCELED:
            what_now = DISPUTED_TEXT if is_disputed else "The customer did not get the money"
            return f"The refund of {amount} was canceled. {what_now} ({origin})."
        case RefundStatus.FAILED:
            why = f": {refund.failure_reason}" if refund.failure_reason else ""
            what_now = (
                DISPUTED_TEXT if is_disputed else "The shop has the money again. Please pay the customer another way"
            )
            return f"The refund of {amount} failed{why}. {what_now} ({origin})."
        case None:
            known = f"an unknown status ({refund.status})" if refund.status != UNKNOWN_STATUS else "no status"
            return f"Stripe reports {known} for the refund of {amount}. It counts as under way ({origin})."
