"""The kinds of e-mail, and which of them become stale. docs/architecture.md lists the events."""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of e-mail. Each has a section in translations/*.toml."""

    ORDER_CONFIRMED = "order_confirmed"
    PAYMENT_PENDING = "payment_pending"
    PAYMENT_INSTRUCTIONS = "payment_instructions"  # the voucher or bank transfer with which the customer has to pay
    PAYMENT_FAILED = "payment_failed"
    ORDER_IN_REVIEW = "order_in_review"
    ORDER_CANCELED = "order_canceled"
    ABANDONED_CART = "abandoned_cart"
    ORDER_SHIPPED = "order_shipped"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"  # a refund that the customer knows of
    STAFF_REVIEW_OPENED = "staff_review_opened"
    STAFF_REVIEW_RESOLVED = "staff_review_resolved"
    STAFF_REFUND_FAILED = "staff_refund_failed"
    STAFF_DISPUTE_OPENED = "staff_dispute_opened"
    STAFF_DISPUTE_UPDATED = "staff_dispute_updated"
    STAFF_DISPUTE_CLOSED = "staff_dispute_closed"
    STAFF_STOCK_LOW = "staff_stock_low"
    STAFF_RESERVATION_EXPIRING = "staff_reservation_expiring"
    STAFF_ORDER_PAID = "staff_order_paid"
    STAFF_DIGEST = "staff_digest"  # several of the other e-mails to staff in one


KINDS = tuple(kind.value for kind in Kind)
CUSTOMER_KINDS = (
    Kind.ORDER_CONFIRMED,
    Kind.PAYMENT_PENDING,
    Kind.PAYMENT_INSTRUCTIONS,
    Kind.PAYMENT_FAILED,
    Kind.ORDER_IN_REVIEW,
    Kind.ORDER_CANCELED,
    Kind.ABANDONED_CART,
    Kind.ORDER_SHIPPED,
    Kind.REFUND_SUCCEEDED,
    Kind.REFUND_FAILED,
)
STAFF_KINDS = (
    Kind.STAFF_REVIEW_OPENED,
    Kind.STAFF_REVIEW_RESOLVED,
    Kind.STAFF_REFUND_FAILED,
    Kind.STAFF_DISPUTE_OPENED,
    Kind.STAFF_DISPUTE_UPDATED,
    Kind.STAFF_DISPUTE_CLOSED,
    Kind.STAFF_STOCK_LOW,
    Kind.STAFF_RESERVATION_EXPIRING,
    Kind.STAFF_ORDER_PAID,
)


# The kinds that advertise. They have an unsubscribe link, and the rules of reminders.py decide whether they are sent.
PROMOTIONAL_KINDS = (Kind.ABANDONED_CART,)


class CheckoutOutcome(StrEnum):
    """The ends of a checkout that make e-mails stale."""

    PAID = "paid"
    CANCELED = "canceled"


# The kinds that are stale once a checkout has this outcome.
STALE_AFTER_OUTCOME: Mapping[str | None, Sequence[str]] = {
    CheckoutOutcome.PAID: (
        Kind.ABANDONED_CART,
        Kind.PAYMENT_PENDING,
        Kind.PAYMENT_INSTRUCTIONS,
        Kind.PAYMENT_FAILED,
        Kind.STAFF_RESERVATION_EXPIRING,
    ),
    CheckoutOutcome.CANCELED: (Kind.ABANDONED_CART,),
}

# The kinds that are stale once an e-mail of this kind exists about the same order, payment, refund, dispute or review.
STALE_AFTER_MAIL: Mapping[str, Sequence[str]] = {
    Kind.PAYMENT_INSTRUCTIONS: (Kind.PAYMENT_PENDING,),
    Kind.PAYMENT_FAILED: (Kind.PAYMENT_PENDING, Kind.PAYMENT_INSTRUCTIONS),
    Kind.STAFF_REFUND_FAILED: (Kind.REFUND_SUCCEEDED,),
    Kind.STAFF_DISPUTE_CLOSED: (
        Kind.STAFF_DISPUTE_OPENED,
        Kind.STAFF_DISPUTE_UPDATED,
        Kind.STAFF_DISPUTE_CLOSED,  # with the same result, before money came back
    ),
    Kind.STAFF_REVIEW_RESOLVED: (Kind.STAFF_REVIEW_OPENED, Kind.ORDER_IN_REVIEW),
    Kind.REFUND_SUCCEEDED: (
        Kind.ORDER_CANCELED,  # of a decision that ended in this refund: it says why
        Kind.STAFF_ORDER_PAID,  # if everything is refunded
    ),
    Kind.ORDER_CANCELED: (Kind.ORDER_CONFIRMED, Kind.STAFF_ORDER_PAID),
    Kind.ORDER_SHIPPED: (Kind.STAFF_ORDER_PAID,),  # if nothing is left to ship
}

# The kinds that make those e-mails stale whenever they happened. All others replace only what happened before them.
TIMELESS_CAUSES = (Kind.PAYMENT_INSTRUCTIONS, Kind.STAFF_REFUND_FAILED, Kind.STAFF_REVIEW_RESOLVED)
