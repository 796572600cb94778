"""The kinds of mail, and which of them a later word makes pointless."""

from collections.abc import Mapping, Sequence

CUSTOMER_KINDS = (
    ORDER_CONFIRMED := "order_confirmed",
    PAYMENT_PENDING := "payment_pending",
    PAYMENT_FAILED := "payment_failed",
    ABANDONED_CART := "abandoned_cart",
    ORDER_SHIPPED := "order_shipped",
    REFUND_SUCCEEDED := "refund_succeeded",
)
STAFF_KINDS = (
    STAFF_REVIEW := "staff_review",
    STAFF_REVIEW_SETTLED := "staff_review_settled",
    STAFF_REFUND_FAILED := "staff_refund_failed",
    STAFF_DISPUTE_OPENED := "staff_dispute_opened",
    STAFF_DISPUTE_UPDATED := "staff_dispute_updated",
    STAFF_DISPUTE_CLOSED := "staff_dispute_closed",
    STAFF_STOCK_LOW := "staff_stock_low",
)
STAFF_DIGEST = "staff_digest"
KINDS = (*CUSTOMER_KINDS, *STAFF_KINDS, STAFF_DIGEST)

PAID, CANCELED = OUTCOMES = ("paid", "canceled")

# What a customer must no longer be told once a purchase has come to this.
BY_OUTCOME: Mapping[str | None, Sequence[str]] = {
    PAID: (ABANDONED_CART, PAYMENT_PENDING, PAYMENT_FAILED),
    CANCELED: (ABANDONED_CART,),
}

# What must no longer be told once there is a mail of this kind about the same refund, dispute or review.
BY_LATER_WORD: Mapping[str, Sequence[str]] = {
    STAFF_REFUND_FAILED: (REFUND_SUCCEEDED,),
    STAFF_DISPUTE_CLOSED: (STAFF_DISPUTE_OPENED, STAFF_DISPUTE_UPDATED),
    STAFF_REVIEW_SETTLED: (STAFF_REVIEW,),
}
