"""Events of the orders service about reviews."""

from enum import StrEnum

from marshmallow import fields, validate

from events.messaging.contracts.orders import OrderSnapshot
from events.messaging.contracts.shared import Contract, Pieces


class ReviewReason(StrEnum):
    """The reasons for which a paid order needs a review, most severe first."""

    AMOUNT_MISMATCH = "amount-mismatch"
    CURRENCY_MISMATCH = "currency-mismatch"
    LIVEMODE_MISMATCH = "livemode-mismatch"
    ACCOUNT_MISMATCH = "account-mismatch"
    OVERSOLD = "oversold"
    DUPLICATE_PAYMENT = "duplicate-payment"
    MISSING_ADDRESS = "missing-address"
    RADAR_REVIEW = "radar-review"
    EARLY_FRAUD_WARNING = "early-fraud-warning"


# The reasons for a review that the customer learns: suspected fraud would warn the wrong person.
CUSTOMER_REASONS = frozenset(
    {
        ReviewReason.AMOUNT_MISMATCH,
        ReviewReason.CURRENCY_MISMATCH,
        ReviewReason.LIVEMODE_MISMATCH,
        ReviewReason.ACCOUNT_MISMATCH,
        ReviewReason.OVERSOLD,
        ReviewReason.DUPLICATE_PAYMENT,
    }
)


class ReviewDecision(StrEnum):
    """The decisions on a review: ship the order, refund it (or its duplicate payment), or, by `cancel`, do neither."""

    ACCEPT = "accept"
    REFUND = "refund"
    CANCEL = "cancel"


POLICY = "policy"  # `resolved_by` of a review that no person resolved


class ReviewOpened(OrderSnapshot):
    """A paid order needs a review for one of `ReviewReason`.

    An operator or the shop's policy decides. The review also ends when its cause is gone at Stripe.
    """

    reason = fields.String(required=True, validate=validate.OneOf([*ReviewReason]))
    detail = fields.String(required=True)
    subject = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "the payment, warning, Radar review or return that the review is about; null: the order."
            " An order can have several reviews of one reason"
        },
    )
    is_refunded = fields.Boolean(
        load_default=False,
        metadata={"description": "pieces are missing, but refunds cover the order: no parcel waits for the decision"},
    )


class ResolvedReview(Contract):
    """Another open review of the order, which the same decision resolved."""

    reason = fields.String(required=True, validate=validate.OneOf([*ReviewReason]))
    subject = fields.String(required=True, allow_none=True)


class ReviewResolved(OrderSnapshot):
    """A decision on a review: ship the order, refund it, or neither.

    `resolved_by` is the operator's name, `policy`, or `Stripe` when the review's cause is gone at Stripe.
    """

    reason = fields.String(required=True, validate=validate.OneOf([*ReviewReason]))
    decision = fields.String(required=True, validate=validate.OneOf([*ReviewDecision]))
    resolved_by = fields.String(required=True)
    subject = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "of the review that `reason` names, as in `orders.review.opened`"},
    )
    was_confirmed = fields.Boolean(
        load_default=False, metadata={"description": "the order was published as paid before the review was resolved"}
    )
    also_resolved = fields.List(
        fields.Nested(ResolvedReview),
        load_default=list,
        metadata={"description": "the order's other open reviews, which the same decision resolved"},
    )
    shipped_before = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={"description": "pieces in the order's parcels when the review was decided; null: unknown"},
    )
    unshipped_before = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={
            "description": "pieces that had neither shipped nor been refunded before the decision; null: unknown"
        },
    )
