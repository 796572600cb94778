"""The problems with which the orders service answers: one for each error of errors.py, and a few others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from events.money import format_amount
from events.web.idempotency import key_reused
from events.web.problems import Problem, invalid_request, register_errors
from flask import Flask

from orders import errors
from orders.models.refunds import RefundRequest

RETRY_AFTER = {"Retry-After": "1"}  # seconds; the customer may be back before checkout.checkout.started is here


def register(app: Flask) -> None:
    """Make the app answer each domain error with its problem."""
    register_errors(app, PROBLEMS)


def no_order_yet() -> Problem:
    """Return the problem for a session whose order does not exist yet."""
    return Problem(404, "order-not-found", "This session has no order yet. Try again in a second.", headers=RETRY_AFTER)


def not_a_session(session_id: str) -> Problem:
    """Return the problem for a text that cannot be the id of a Stripe session."""
    return Problem(404, "order-not-found", f"{session_id} is not the id of a Stripe session. Check the link.")


def refund_refused(request: RefundRequest) -> Problem:
    """Return the problem for a refund request that Stripe refused."""
    detail = f"Stripe refused this refund. To try again, use a new Idempotency-Key. Stripe's reason: {request.error}"
    return Problem(409, "refund-refused", detail, refund_request_id=request.id)


def review_refund_refused(requests: Sequence[RefundRequest]) -> Problem:
    """Return the problem for a decision or cancellation, if Stripe refused some or all of its refunds."""
    refused = " ".join(
        f"{format_amount(request.amount, request.currency)} of {request.payment_id}: {request.error}"
        for request in requests
    )
    detail = (
        "The decision about the order is stored, but Stripe refused a refund. To try again after you have dealt with"
        f" Stripe's reason, use POST /orders/{requests[0].order_id}/refunds."
        f" Refused: {refused}"
    )
    return Problem(409, "refund-refused", detail, refund_request_id=requests[0].id)


def _order_not_found(error: errors.OrderNotFoundError) -> Problem:
    return Problem(404, "order-not-found", f"There is no order {error.id_or_number}. Check its id or number.")


def _order_not_paid(error: errors.OrderNotPaidError) -> Problem:
    detail = f"Order {error.number} is not paid. Its status is {error.status}. Only paid orders allow this."
    return Problem(409, "order-not-paid", detail)


def _refund_exceeds_payment(error: errors.RefundExceedsPaymentError) -> Problem:
    rest = f"Only {format_amount(error.refundable, error.currency)}" if error.refundable else "Nothing"
    detail = (
        f"{rest} of {error.payment_id} can still be refunded."
        " Pending refunds and disputed amounts are already deducted."
    )
    return Problem(422, "refund-exceeds-payment", detail, refundable=error.refundable, currency=error.currency)


def _nothing_to_ship(error: errors.NothingToShipError) -> Problem:
    return Problem(
        409,
        "nothing-to-ship",
        f"Order {error.number} has no pieces left to ship: all are shipped or refunded.",
    )


def _order_needs_review(error: errors.OrderNeedsReviewError) -> Problem:
    detail = (
        f"Order {error.number} has an open review ({error.reason}). {error.detail}"
        f" First resolve the review with POST /orders/{error.order_id}/review."
    )
    return Problem(409, "order-needs-review", detail)


def _shipping_canceled(error: errors.ShippingCanceledError) -> Problem:
    decided = f"{error.resolved_by} resolved its review ({error.reason}) with the decision {error.decision}"
    return Problem(409, "shipping-canceled", f"Nothing more of order {error.number} ships: {decided}. This is final.")


def _order_refunded(error: errors.OrderRefundedError) -> Problem:
    detail = (
        f"Nothing more of order {error.number} ships: refunds that were made, requested or are under way cover its"
        " payments. If one of them fails, pieces that have not shipped can ship again."
    )
    return Problem(409, "order-refunded", detail)


def _order_canceled(error: errors.OrderCanceledError) -> Problem:
    return Problem(
        409,
        "order-canceled",
        f"Order {error.number} is canceled. Nothing more of it ships. What is left of its payments can be refunded.",
    )


def _order_awaits_stock(error: errors.OrderAwaitsStockError) -> Problem:
    detail = f"The stock of order {error.number} is not confirmed yet. Try again in a few seconds."
    return Problem(409, "order-awaits-stock", detail)


def _order_disputed(error: errors.OrderDisputedError) -> Problem:
    detail = (
        f"A payment of order {error.number} has a chargeback ({error.dispute_status}): the bank takes the money back."
        " To ship in spite of it, send a reason in override."
    )
    return Problem(409, "order-disputed", detail, dispute_status=error.dispute_status)


def _disputed_refund(error: errors.DisputedRefundError) -> Problem:
    detail = (
        f"A payment of order {error.number} has an open chargeback, so Stripe refuses its refund. Nothing was changed."
        " Once the chargeback is closed, refund what the bank does not withhold."
    )
    if route := error.way_out:
        body = {"review": '{"decision": "cancel"}', "cancel": '{"refund": false}'}[route]
        detail += (
            f" If the order must not ship, end it without a refund: POST /orders/{error.number}/{route} with {body}."
        )
    return Problem(409, "order-disputed", detail)


def _order_shipped(error: errors.OrderShippedError) -> Problem:
    detail = (
        f"Pieces of order {error.number} have shipped, so it cannot be canceled."
        f" Refund lines with POST /orders/{error.order_id}/refunds."
    )
    return Problem(409, "order-shipped", detail)


def _line_amounts_unknown(_: errors.LineAmountsUnknownError) -> Problem:
    detail = "Stripe did not say what it charged for each line. Nothing was refunded. Try again in a minute."
    return Problem(503, "stripe-unavailable", detail, headers={"Retry-After": "60"})


def _nothing_to_review(error: errors.NothingToReviewError) -> Problem:
    return Problem(409, "nothing-to-review", f"Order {error.number} has no review to resolve.")


def _review_resolved(error: errors.ReviewResolvedError) -> Problem:
    detail = f"{error.resolved_by} has already resolved this review with another decision: {error.decision}."
    return Problem(409, "review-resolved", detail, decision=error.decision, resolved_by=error.resolved_by)


PROBLEMS: Mapping[type[errors.DomainError], Callable[[Any], Problem]] = {
    errors.InvalidRequestError: lambda error: invalid_request(**error.errors),
    errors.KeyReusedError: lambda _: key_reused(),
    errors.LineAmountsUnknownError: _line_amounts_unknown,
    errors.NothingToReviewError: _nothing_to_review,
    errors.NothingToShipError: _nothing_to_ship,
    errors.OrderAwaitsStockError: _order_awaits_stock,
    errors.OrderCanceledError: _order_canceled,
    errors.OrderDisputedError: _order_disputed,
    errors.ShippingCanceledError: _shipping_canceled,
    errors.OrderNeedsReviewError: _order_needs_review,
    errors.OrderNotFoundError: _order_not_found,
    errors.OrderNotPaidError: _order_not_paid,
    errors.OrderRefundedError: _order_refunded,
    errors.OrderShippedError: _order_shipped,
    errors.DisputedRefundError: _disputed_refund,
    errors.RefundExceedsPaymentError: _refund_exceeds_payment,
    errors.ReviewResolvedError: _review_resolved,
}
