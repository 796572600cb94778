"""Domain errors: requests that do not fit the order. problems.py maps each of them to a problem."""

from typing import Any


class DomainError(Exception):
    """The base class of the errors in this module: a request that the service refuses."""


class OrderNotFoundError(DomainError):
    """No order has this id or number."""

    def __init__(self, id_or_number: str) -> None:
        self.id_or_number = id_or_number
        super().__init__(id_or_number)


class InvalidRequestError(DomainError):
    """Some fields of the request do not fit the order; `errors` has the messages by field."""

    def __init__(self, **errors: Any) -> None:
        self.errors = errors
        super().__init__(errors)


class KeyReusedError(DomainError):
    """The idempotency key was used for a different request."""


class OrderNotPaidError(DomainError):
    """The order is not paid, so it cannot ship, be canceled, have its lines refunded or its reviews resolved.

    A refund without lines does not need a paid order, only a payment whose money Stripe has.
    """

    def __init__(self, number: str, status: str) -> None:
        self.number, self.status = number, status
        super().__init__(number, status)


class RefundExceedsPaymentError(DomainError):
    """Less than requested can still be refunded of the payment: `refundable`, in minor units. It can be 0."""

    def __init__(self, payment_id: str, refundable: int, currency: str) -> None:
        self.payment_id, self.refundable, self.currency = payment_id, refundable, currency
        super().__init__(payment_id, refundable, currency)


class NothingToShipError(DomainError):
    """No piece of the order is left to ship."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


class OrderNeedsReviewError(DomainError):
    """The order has an open review, which must be resolved before it ships or is canceled."""

    def __init__(self, order_id: str, number: str, reason: str | None, detail: str | None) -> None:
        self.order_id, self.number, self.reason, self.detail = order_id, number, reason, detail
        super().__init__(number, reason)


class ShippingCanceledError(DomainError):
    """A review of the order ended in the decision `refund` or `cancel`, so nothing more of the order ships."""

    def __init__(self, number: str, resolved_by: str | None, decision: str | None, reason: str) -> None:
        self.number, self.resolved_by, self.decision, self.reason = number, resolved_by, decision, reason
        super().__init__(number, decision)


class OrderRefundedError(DomainError):
    """Refunds that were made, requested or are under way cover the order's payments, so nothing more of it ships."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


class OrderCanceledError(DomainError):
    """The paid order is canceled, so nothing more of it ships, and it cannot be canceled again."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


class OrderAwaitsStockError(DomainError):
    """The order waits for inventory to confirm its stock (`Order.awaits_stock`)."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


class OrderDisputedError(DomainError):
    """A payment of the order has an open or lost chargeback, so the order ships only with an override."""

    def __init__(self, number: str, dispute_status: str) -> None:
        self.number, self.dispute_status = number, dispute_status
        super().__init__(number, dispute_status)


class DisputedRefundError(DomainError):
    """A payment to refund has an open chargeback, so Stripe refuses the refund.

    `way_out` is the order's route that can end the fulfillment now without a refund: `review`, `cancel` or None.
    """

    def __init__(self, number: str, way_out: str | None) -> None:
        self.number, self.way_out = number, way_out
        super().__init__(number, way_out)


class OrderShippedError(DomainError):
    """Pieces of the order have shipped, so it cannot be canceled."""

    def __init__(self, order_id: str, number: str) -> None:
        self.order_id, self.number = order_id, number
        super().__init__(number)


class LineAmountsUnknownError(DomainError):
    """Stripe did not say what it charged for each line, so the amount to refund for the lines is not known."""


class NothingToReviewError(DomainError):
    """The order has no review to resolve."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


class ReviewResolvedError(DomainError):
    """All reviews of the order are resolved already, the last one with another decision."""

    def __init__(self, resolved_by: str | None, decision: str | None) -> None:
        self.resolved_by, self.decision = resolved_by, decision
        super().__init__(resolved_by, decision)
