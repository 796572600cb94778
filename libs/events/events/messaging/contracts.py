"""The contracts between the services: every own event's marshmallow schema, by type and version.

Schemas dump strictly and load without unknown fields. Adding a field keeps the version. A rename, a removal or a new
meaning is a new version, and both are published until nothing binds the old one. Amounts are integers in the
currency's minor unit as Stripe counts it; times are UTC.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from events.errors import DecodeError


class RefundStatus(StrEnum):
    """Stripe's statuses of a refund. Stripe may add others, so no constraint lists them.

    A refund that succeeded can still fail. Before that it can change between the first two any number of times.
    """

    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


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


class CancelReason(StrEnum):
    """The reasons for which a checkout ended before payment.

    The customer or an operator canceled it. An abandoned one was interrupted: no customer ever got its URL.
    """

    CUSTOMER = "customer"
    OPERATOR = "operator"
    ABANDONED = "abandoned"


class ReviewDecision(StrEnum):
    """The decisions that resolve a review: ship the order, refund it, or neither."""

    ACCEPT = "accept"
    REFUND = "refund"
    CANCEL = "cancel"


POLICY = "policy"  # `resolved_by` of a review that no person resolved


class Contract(Schema):
    """A schema that ignores fields of newer publishers. Nested schemas must derive from it, too."""

    class Meta:
        unknown = EXCLUDE


class Line(Contract):
    """One line of a cart: `quantity` pieces of one sku."""

    sku = fields.String(required=True)
    name = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
    unit_amount = fields.Integer(required=True, strict=True)
    amount_total = fields.Integer(required=True, strict=True)


class Amounts(Contract):
    """The amounts of a checkout: total = subtotal - discount + shipping, without taxes that Stripe adds."""

    currency = fields.String(required=True, validate=validate.Regexp(r"^[a-z]{3}$"))
    amount_subtotal = fields.Integer(required=True, strict=True)
    amount_discount = fields.Integer(required=True, strict=True)
    amount_shipping = fields.Integer(required=True, strict=True)
    amount_total = fields.Integer(required=True, strict=True)


class CheckoutRef(Contract):
    """A checkout and one of its Stripe sessions."""

    checkout_id = fields.String(required=True)
    session_id = fields.String(required=True)


class ShippingOffer(Contract):
    """A shipping option that Stripe's page offered; `countries` limits where to, and is empty without a limit."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    amount = fields.Integer(required=True, strict=True)
    countries = fields.List(fields.String(), required=True)


class CheckoutStarted(CheckoutRef, Amounts):
    """Checkout created a Stripe session for this cart; amounts and lines are as the customer saw them."""

    livemode = fields.Boolean(required=True)
    promotion_codes = fields.Boolean(
        load_default=False,
        metadata={"description": "Stripe's page accepted promotion codes: the customer may pay less by their discount"},
    )
    needs_shipping = fields.Boolean(
        load_default=False,
        metadata={"description": "it was sold with a shipping option or asks for an address: it cannot ship without"},
    )
    customer_email = fields.String(allow_none=True, load_default=None)
    locale = fields.String(allow_none=True, load_default=None)
    discount_code = fields.String(allow_none=True, load_default=None)
    expires_at = fields.AwareDateTime(required=True)
    shipping_options = fields.List(
        fields.Nested(ShippingOffer),
        load_default=list,
        metadata={"description": "the customer chooses one of these on Stripe's page; the amounts are with the first"},
    )
    lines = fields.List(fields.Nested(Line), required=True, validate=validate.Length(min=1))


class CheckoutCanceled(CheckoutRef):
    """The checkout ended before payment. Its session is expired at Stripe, or will be within minutes."""

    reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": f"{', '.join(CancelReason)}; null: unknown. Readers must accept others"},
    )


class Charged(Contract):
    """Stripe's charge for an order, as its completed session says.

    total = subtotal - discount + shipping, plus the taxes that are not part of the prices. The discount includes
    promotion codes. The presentment amount is what the customer's statement shows, if it is in another currency.
    """

    currency = fields.String(required=True, validate=validate.Regexp(r"^[a-z]{3}$"))
    amount_subtotal = fields.Integer(required=True, strict=True)
    amount_discount = fields.Integer(required=True, strict=True)
    amount_shipping = fields.Integer(required=True, strict=True)
    amount_tax = fields.Integer(
        required=True, strict=True, metadata={"description": "all taxes, those that are part of the prices included"}
    )
    tax_included = fields.Boolean(required=True, metadata={"description": "all taxes are part of the prices"})
    amount_total = fields.Integer(required=True, strict=True)
    presentment_currency = fields.String(allow_none=True, load_default=None)
    presentment_amount = fields.Integer(strict=True, allow_none=True, load_default=None)


class OrderSnapshot(CheckoutRef, Amounts):
    """An order at the time of the change, `occurred_at`.

    Its own amounts are what was agreed. `charged` has what Stripe charges: readers use it wherever it is not null.
    """

    order_id = fields.String(required=True)
    number = fields.String(required=True)
    payment_intent = fields.String(allow_none=True, load_default=None)
    customer_email = fields.String(allow_none=True, load_default=None)
    customer_name = fields.String(allow_none=True, load_default=None)
    customer_country = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "from the payment page, ISO 3166; a hint where the locale is null"},
    )
    locale = fields.String(allow_none=True, load_default=None)
    charged = fields.Nested(
        Charged,
        allow_none=True,
        load_default=None,
        metadata={"description": "null until a session is completed, paid or not"},
    )
    amount_paid = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "all payments of the order, a duplicate one included; null: unknown"},
    )
    amount_refunded = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "all succeeded refunds of the order; null: unknown"},
    )
    lines = fields.List(fields.Nested(Line), required=True)
    occurred_at = fields.AwareDateTime(required=True)


class PaymentPending(OrderSnapshot):
    """The customer finished the checkout, and the money has not arrived yet.

    It is published again once Stripe has said how the customer has to pay: with a voucher or a bank transfer.
    """

    payment_method_types = fields.List(
        fields.String(),
        allow_none=True,
        load_default=None,
        metadata={"description": "Stripe's types that the payment page offered"},
    )
    payment_method = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "sepa_debit, oxxo, boleto, konbini, multibanco, bank_transfer, …; null: unknown"},
    )
    voucher_url = fields.Url(
        require_tld=False,
        allow_none=True,
        load_default=None,
        metadata={"description": "Stripe's page with the voucher or the bank details"},
    )
    voucher_expires_at = fields.AwareDateTime(allow_none=True, load_default=None)


class OrderExpired(OrderSnapshot):
    """The session ended unpaid; `recovery_url` is Stripe's link to the same cart, if there is one."""

    recovery_url = fields.Url(require_tld=False, allow_none=True, load_default=None)
    promotions_consent = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "Stripe's `consent.promotions` of the session, opt_in or opt_out; null: not asked"},
    )


class OrderCanceled(OrderSnapshot):
    """The checkout was canceled before payment, or an operator canceled a paid order before it shipped."""

    reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "`operator`: a paid order was canceled; null: the checkout ended before payment"},
    )


class ReviewOpened(OrderSnapshot):
    """A paid order needs a review for one of `ReviewReason`. An operator or the policy decides."""

    reason = fields.String(required=True, validate=validate.OneOf([*ReviewReason]))
    detail = fields.String(required=True)
    subject = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "the payment, warning, Radar review or return that it is about; null: the order itself."
            " An order can have several reviews of one reason"
        },
    )


class Pieces(Contract):
    """`quantity` pieces of one sku."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class ResolvedReview(Contract):
    """Another review that a decision has resolved."""

    reason = fields.String(required=True, validate=validate.OneOf([*ReviewReason]))
    subject = fields.String(required=True, allow_none=True)


class ReviewResolved(OrderSnapshot):
    """An operator decided, or the policy as `resolved_by` policy: ship the order, refund it, or neither."""

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
        metadata={"description": "pieces in the order's parcels when it was decided; null: unknown"},
    )


class StockReturned(Contract):
    """Sold pieces are back in stock: by a refund with restock, or a review that ended in one."""

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    return_id = fields.String(required=True, metadata={"description": "the same for every event about this return"})
    lines = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))


class StockTaken(StockReturned):
    """Pieces of an earlier return leave the stock again: their refund failed, so they are owed again."""


class GoodsChanged(Contract):
    """The pieces of a paid order that do not ship any more have changed: a refund, a failed refund, a cancellation.

    The numbers are totals. Of several events about one order, the one with the highest revision counts.
    """

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    revision = fields.Integer(required=True, strict=True)
    canceled = fields.List(
        fields.Nested(Pieces),
        required=True,
        metadata={"description": "unshipped pieces that are refunded or canceled; empty if refunds of them failed"},
    )


class OrderShipped(OrderSnapshot):
    """A parcel was shipped with all or some of the order's pieces."""

    shipment_id = fields.String(required=True)
    carrier = fields.String(allow_none=True, load_default=None)
    tracking = fields.String(allow_none=True, load_default=None)
    tracking_url = fields.Url(require_tld=False, allow_none=True, load_default=None)
    shipped = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))
    is_complete = fields.Boolean(
        required=True, metadata={"description": "nothing of the order is left to ship after this parcel"}
    )
    remaining = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={"description": "pieces left to ship after this parcel, without refunded ones; null: unknown"},
    )
    shipped_before = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={"description": "pieces in the order's earlier parcels; null: unknown"},
    )


class RefundChanged(OrderSnapshot):
    """One refund of an order; `amount_refunded` is the order's sum of succeeded refunds."""

    refund_id = fields.String(
        required=True,
        metadata={"description": "at Stripe; the refund request's id if Stripe refused it, so that no refund exists"},
    )
    refund_request_id = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "the operators' request; null: made in Stripe's dashboard. Unknown at Stripe"},
    )
    refund_status = fields.String(required=True, validate=validate.OneOf([*RefundStatus]))
    refund_amount = fields.Integer(required=True, strict=True)
    refund_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "of `refund_amount`; null: the order's. It differs only after a payment in another"},
    )
    presentment_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "of the customer's bank statement; null: the refund's own currency"},
    )
    presentment_amount = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "what the customer's bank statement shows for this refund"},
    )
    amount_refunded = fields.Integer(required=True, strict=True)
    review_reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "why a review ended in this refund; null: it is not from a review"},
    )
    failure_reason = fields.String(allow_none=True, load_default=None)


class DisputeChanged(OrderSnapshot):
    """One dispute of an order's payment: `dispute_status` is Stripe's word; inquiries (`warning_…`) move no money."""

    dispute_id = fields.String(required=True)
    dispute_status = fields.String(required=True)
    dispute_amount = fields.Integer(required=True, strict=True)
    dispute_reason = fields.String(required=True)
    evidence_due_by = fields.AwareDateTime(allow_none=True, load_default=None)
    dispute_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "of `dispute_amount` and `amount_held`; null: the order's"},
    )
    funds_withdrawn = fields.Boolean(required=True, metadata={"description": "the bank holds all or a part of it now"})
    amount_held = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "what the bank holds now; a part of the amount if it returned some; null: unknown"},
    )
    order_is_canceled = fields.Boolean(
        load_default=False, metadata={"description": "the order was canceled: nothing of it ships any more"}
    )


class CustomerErased(Contract):
    """An erased customer: every service erases them too, and keeps them erased. The event has no personal data."""

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    erased_at = fields.AwareDateTime(required=True)


class StockLow(Contract):
    """The available pieces of a sku fell to its threshold or below."""

    sku = fields.String(required=True)
    available = fields.Integer(required=True, strict=True)
    threshold = fields.Integer(required=True, strict=True)


class MissingLine(Contract):
    """Of `quantity` paid pieces, `missing` are not in stock."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True)
    missing = fields.Integer(required=True, strict=True)


class ReservationOversold(Contract):
    """A checkout was paid after its reservation had ended, or its pieces were lost or sold again: they are gone."""

    checkout_id = fields.String(required=True)
    lines = fields.List(fields.Nested(MissingLine), required=True)
    return_id = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "a return whose refund failed: its pieces are owed again, but were sold meanwhile;"
            " the lines are the return's. null: the pieces were missing when the checkout was paid"
        },
    )


class ReservationExpiring(Contract):
    """A delayed payment is still under way, and its pieces are for sale again at `expires_at`."""

    checkout_id = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))


class ReservationCommitted(Contract):
    """The stock of a checkout that was paid after its session's end was taken: all its pieces were still there."""

    checkout_id = fields.String(required=True)


SCHEMAS: Mapping[tuple[str, int], Schema] = {
    ("checkout.checkout.started", 1): CheckoutStarted(),
    ("checkout.checkout.canceled", 1): CheckoutCanceled(),
    ("orders.order.paid", 1): OrderSnapshot(),
    ("orders.payment.pending", 1): PaymentPending(),
    ("orders.payment.failed", 1): OrderSnapshot(),
    ("orders.order.expired", 1): OrderExpired(),
    ("orders.order.canceled", 1): OrderCanceled(),
    ("orders.review.opened", 1): ReviewOpened(),
    ("orders.review.resolved", 1): ReviewResolved(),
    ("orders.stock.returned", 1): StockReturned(),
    ("orders.stock.taken", 1): StockTaken(),
    ("orders.goods.changed", 1): GoodsChanged(),
    ("orders.order.shipped", 1): OrderShipped(),
    ("orders.refund.succeeded", 1): RefundChanged(),
    ("orders.refund.failed", 1): RefundChanged(),
    ("orders.dispute.opened", 1): DisputeChanged(),
    ("orders.dispute.updated", 1): DisputeChanged(),
    ("orders.dispute.closed", 1): DisputeChanged(),
    ("orders.customer.erased", 1): CustomerErased(),
    ("inventory.reservation.expiring", 1): ReservationExpiring(),
    ("inventory.reservation.committed", 1): ReservationCommitted(),
    ("inventory.reservation.oversold", 1): ReservationOversold(),
    ("inventory.stock.low", 1): StockLow(),
}


def dump(event_type: str, version: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as JSON values. Raises `ValidationError` for a missing, unknown or mistyped field on any level."""
    schema = SCHEMAS[event_type, version]
    try:
        document: dict[str, Any] = schema.dump(data)
    except (TypeError, ValueError) as error:  # a field cannot serialize its value
        raise ValidationError(str(error)) from error
    if errors := _differences(data, schema.load(document)):
        raise ValidationError(errors)
    return document


def _differences(given: Any, kept: Any) -> Any:
    """Return the values that a reader would not get as they were given, in marshmallow's error format.

    Fields convert values where they can, so a schema alone would accept a number given as text.
    """
    if isinstance(kept, dict):
        unknown = {name: ["Unknown field."] for name in sorted(given.keys() - kept.keys())}
        return unknown | {
            name: found for name in given.keys() & kept.keys() if (found := _differences(given[name], kept[name]))
        }
    if isinstance(kept, list):
        return {at: found for at, pair in enumerate(zip(given, kept, strict=True)) if (found := _differences(*pair))}
    same = given == kept and isinstance(given, type(kept)) and isinstance(given, bool) == isinstance(kept, bool)
    return [] if same else [f"Not a valid {type(kept).__name__}."]


def load(event_type: str, version: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an own event's data without fields unknown to this version. Raises `DecodeError`."""
    try:
        loaded: dict[str, Any] = SCHEMAS[event_type, version].load(document)
    except KeyError as error:
        raise DecodeError(f"{event_type} version {version} has no contract") from error
    except ValidationError as error:
        raise DecodeError(f"{event_type} version {version} does not match its contract: {error}") from error
    return loaded
