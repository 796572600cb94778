"""Orders, and how the status of an order is derived from facts.

Events arrive in any sequence. So an order stores facts, each with the time of its event. The strongest fact determines
the status. A repeated fact changes nothing. A weaker fact that arrives late is stored and does not change the status:

    paid  >  payment_failed  >  payment_pending  >  canceled  >  expired  >  open

If one payment fails, another can still succeed. So an unpaid order with several sessions is `payment_pending` while
the money of any payment is under way.

Refund, dispute, review and fulfillment statuses are separate columns. They are derived from the rows of the other
tables (totals.py, disputes.py, reviews.py, goods.py).
"""

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Any

from events.clock import utcnow
from events.database.email_keys import email_key
from events.database.types import Json, UtcDateTime, one_of, partial_index
from events.messaging.contracts.refunds import RefundStatus
from events.messaging.contracts.reviews import ReviewReason
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from orders.models.base import Base
from orders.models.disputes import Dispute
from orders.models.doubted_checkouts import DoubtedCheckout
from orders.models.payments import Payment, PaymentAttempt, PaymentStatus
from orders.models.refunds import Refund, RefundRequest
from orders.models.reviews import Review
from orders.models.shipments import Shipment
from orders.models.timeline import TimelineEntry
from orders.stripe_objects import shipping_of


class OrderStatus(StrEnum):
    """The statuses of an order's payment, derived from facts."""

    OPEN = "open"
    PAYMENT_PENDING = "payment_pending"
    PAID = "paid"
    PAYMENT_FAILED = "payment_failed"
    EXPIRED = "expired"
    CANCELED = "canceled"


class OrderRefundStatus(StrEnum):
    """The part of an order's payments that is refunded."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


class OrderDisputeStatus(StrEnum):
    """The status that summarizes an order's disputes: open, lost, inquiry, won or none, the first that applies."""

    NONE = "none"
    INQUIRY = "inquiry"
    OPEN = "open"
    WON = "won"
    LOST = "lost"


class FulfillmentStatus(StrEnum):
    """The progress of an order's shipping.

    `fulfilled`: something has shipped, and nothing more is owed. `canceled`: a paid order of which nothing ships.
    """

    UNFULFILLED = "unfulfilled"
    PARTIAL = "partial"
    FULFILLED = "fulfilled"
    CANCELED = "canceled"


STRONGEST_FIRST = (
    ("paid_at", OrderStatus.PAID),
    ("failed_at", OrderStatus.PAYMENT_FAILED),
    ("pending_at", OrderStatus.PAYMENT_PENDING),
    ("canceled_at", OrderStatus.CANCELED),
    ("expired_at", OrderStatus.EXPIRED),
)
WEAKEST_FIRST = (PaymentStatus.FAILED, PaymentStatus.PENDING, PaymentStatus.SUCCEEDED)
PERSONAL_COLUMNS = (
    "customer_email",
    "customer_email_key",
    "customer_name",
    "customer_phone",
    "shipping_name",
    "locale",
    "recovery_url",
)
TAX_ADDRESS_PARTS = ("country", "state")  # kept after an erasure: tax reports need them, and they identify no household


class Order(Base):
    """One checkout and its facts.

    `amount_subtotal` to `amount_total` are as agreed in the checkout, without taxes that Stripe adds. `charged` has
    what Stripe charged, with taxes and promotion codes. `customer_email_key` is the e-mail address in lower case, for
    searches. `paid_published_at` is when the order was published as paid. `stock_checked_at` is when inventory
    published that it took the pieces, or that some were missing. `pieces_owed` is derived: the number of paid pieces
    that still have to ship (goods.py). `pieces_canceled` are the pieces that do not ship any more, by sku, as published
    under `goods_revision`. `fulfillment_canceled_at` is when it was decided that a paid order does not ship.
    """

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", OrderStatus),
        one_of("refund_status", OrderRefundStatus),
        one_of("dispute_status", OrderDisputeStatus),
        one_of("fulfillment_status", FulfillmentStatus),
        one_of("review_reason", ReviewReason),
        CheckConstraint("needs_review = (review_reason IS NOT NULL)", name="review"),
        # Every list is sorted by `created_at` and `id`. An index for a filter that finds few orders has only these.
        Index("ix_orders_created_at_id", "created_at", "id"),
        Index("ix_orders_status_created_at", "status", "created_at", "id"),
        Index("ix_orders_fulfillment_status_created_at", "fulfillment_status", "created_at", "id"),
        Index("ix_orders_customer_created_at", "customer_email_key", "created_at", "id"),
        partial_index("ix_orders_refunded", "refund_status <> 'none'", "refund_status", "created_at", "id"),
        partial_index("ix_orders_disputed", "dispute_status <> 'none'", "dispute_status", "created_at", "id"),
        partial_index("ix_orders_review", "needs_review", "created_at", "id"),
        partial_index("ix_orders_to_ship", "pieces_owed > 0", "created_at", "id"),
        partial_index("ix_orders_paid_at", "paid_at IS NOT NULL", "paid_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)
    checkout_id: Mapped[str] = mapped_column(String(64), unique=True)
    session_id: Mapped[str] = mapped_column(String(255), unique=True)
    payment_intent: Mapped[str | None] = mapped_column(String(255), index=True)
    livemode: Mapped[bool]
    currency: Mapped[str] = mapped_column(String(3))
    amount_subtotal: Mapped[int] = mapped_column(BigInteger())
    amount_discount: Mapped[int] = mapped_column(BigInteger())
    amount_shipping: Mapped[int] = mapped_column(BigInteger())
    amount_total: Mapped[int] = mapped_column(BigInteger())
    amount_paid: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    amount_refunded: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    promotion_codes: Mapped[bool] = mapped_column(server_default=false())
    needs_address: Mapped[bool] = mapped_column(server_default=false())
    # The shipping options of Stripe's page. `amount_shipping` is what the first of them costs.
    shipping_offers: Mapped[list[dict[str, Any]]] = mapped_column(Json(), server_default="[]")
    customer_email: Mapped[str | None] = mapped_column(String(320))
    customer_email_key: Mapped[str | None] = mapped_column(String(320))
    customer_name: Mapped[str | None] = mapped_column(Text())
    customer_phone: Mapped[str | None] = mapped_column(Text())
    shipping_name: Mapped[str | None] = mapped_column(Text())
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(Json())
    locale: Mapped[str | None] = mapped_column(String(16))
    recovery_url: Mapped[str | None] = mapped_column(Text())
    customer_country: Mapped[str | None] = mapped_column(String(2))
    status: Mapped[str] = mapped_column(String(16))
    refund_status: Mapped[str] = mapped_column(String(16), server_default=OrderRefundStatus.NONE)
    dispute_status: Mapped[str] = mapped_column(String(16), server_default=OrderDisputeStatus.NONE)
    fulfillment_status: Mapped[str] = mapped_column(String(16), server_default=FulfillmentStatus.UNFULFILLED)
    pieces_owed: Mapped[int] = mapped_column(server_default="0")
    pieces_canceled: Mapped[dict[str, int]] = mapped_column(Json(), server_default="{}")
    goods_revision: Mapped[int] = mapped_column(server_default="0")
    needs_review: Mapped[bool]
    review_reason: Mapped[str | None] = mapped_column(String(32))
    review_detail: Mapped[str | None] = mapped_column(Text())
    started_at: Mapped[datetime] = mapped_column(UtcDateTime())
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    # The column has its old name, because migrations only expand.
    paid_published_at: Mapped[datetime | None] = mapped_column("confirmed_at", UtcDateTime())
    stock_checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    fulfillment_canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime(), onupdate=utcnow)

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.position", lazy="selectin")
    sessions: Mapped[list["OrderSession"]] = relationship(order_by="OrderSession.session_id")
    payments: Mapped[list[Payment]] = relationship(order_by=(Payment.created_at, Payment.id))
    attempts: Mapped[list[PaymentAttempt]] = relationship(order_by=(PaymentAttempt.attempted_at, PaymentAttempt.id))
    refunds: Mapped[list[Refund]] = relationship(order_by=(Refund.created_at, Refund.id))
    refund_requests: Mapped[list[RefundRequest]] = relationship(order_by=RefundRequest.id)
    disputes: Mapped[list[Dispute]] = relationship(order_by=(Dispute.opened_at, Dispute.id))
    reviews: Mapped[list[Review]] = relationship(order_by=(Review.opened_at, Review.reason, Review.subject))
    shipments: Mapped[list[Shipment]] = relationship(order_by=Shipment.id)
    timeline: Mapped[list[TimelineEntry]] = relationship(order_by=(TimelineEntry.happened_at, TimelineEntry.id))
    stock_doubt: Mapped[DoubtedCheckout | None] = relationship(
        primaryjoin=lambda: Order.checkout_id == foreign(DoubtedCheckout.checkout_id), viewonly=True
    )

    @property
    def sums(self) -> list[dict[str, Any]]:
        """The sums paid and refunded by currency, the order's currency first. A payment can have another currency."""
        paid, refunded = Counter[str](), Counter[str]()
        for payment in self.payments:
            paid[payment.currency] += payment.amount if payment.status == PaymentStatus.SUCCEEDED else 0
        for refund in self.refunds:
            refunded[refund.currency] += refund.amount if refund.status == RefundStatus.SUCCEEDED else 0
        currencies = sorted(paid.keys() | refunded.keys(), key=lambda currency: (currency != self.currency, currency))
        return [
            {"currency": currency, "amount_paid": paid[currency], "amount_refunded": refunded[currency]}
            for currency in currencies
        ]

    @property
    def has_other_currencies(self) -> bool:
        """True if a payment was made in another currency: `amount_paid` and `amount_refunded` do not include it."""
        return any(
            payment.status == PaymentStatus.SUCCEEDED and payment.currency != self.currency for payment in self.payments
        )

    def amount_refunded_in(self, currency: str) -> int:
        """Return the sum of succeeded refunds in a currency, in minor units."""
        return sum(one["amount_refunded"] for one in self.sums if one["currency"] == currency)

    @property
    def is_address_missing(self) -> bool:
        """True if the order needs an address and the customer entered none. False once the customer is erased."""
        return self.needs_address and self.erased_at is None and not self.shipping_address

    @property
    def charged_payment(self) -> Payment | None:
        """The payment that paid the order. Until one has, it is the best payment of a completed session, or None.

        A succeeded payment is better than a pending one, and a pending one is better than a failed one. Of equally
        good payments, the newest counts.
        """
        completed = [payment for payment in self.payments if payment.charged]
        return max(completed, key=self._fulfillment_rank, default=None)

    @property
    def charged(self) -> dict[str, Any] | None:
        """The amounts that Stripe charges the customer for this order; None until a session is completed."""
        payment = self.charged_payment
        return payment.charged if payment else None

    @property
    def awaits_stock(self) -> bool:
        """True if the payment is late or the stock in doubt, until inventory publishes whether it took the pieces."""
        if self.stock_checked_at is not None:
            return False
        payment = self.charged_payment
        is_late = payment is not None and (payment.is_late or payment.recovered_from is not None)
        return is_late or self.stock_doubt is not None

    def _fulfillment_rank(self, payment: Payment) -> tuple[Any, ...]:
        fulfills = payment.paid_at is not None and payment.session_id == self.session_id
        return fulfills, WEAKEST_FIRST.index(PaymentStatus(payment.status)), payment.created_at, payment.id

    def mark_paid(self, at: datetime) -> bool:
        """Record that a session is paid; return True if the status changed."""
        return self._record_fact("paid_at", at)

    def mark_payment_pending(self, at: datetime) -> bool:
        """Record that a delayed payment has started; return True if the status changed."""
        return self._record_fact("pending_at", at)

    def mark_payment_failed(self, at: datetime) -> bool:
        """Record that a delayed payment failed; return True if the status changed.

        A declined card is only a failed attempt, which is stored as a `PaymentAttempt`.
        """
        return self._record_fact("failed_at", at)

    def mark_expired(self, at: datetime) -> bool:
        """Record that the session expired unpaid; return True if the status changed."""
        return self._record_fact("expired_at", at)

    def mark_canceled(self, at: datetime) -> bool:
        """Record that the checkout was canceled before payment; return True if the status changed."""
        return self._record_fact("canceled_at", at)

    def mark_paid_published(self, at: datetime) -> bool:
        """Record that the order is published as paid, and return True: the caller then publishes it.

        Return False if it is not paid, was published before, or waits for the decision of an open review or for
        inventory (`awaits_stock`). An order that owes no pieces has nothing to fulfill, so it is not published either.
        """
        if self.paid_at is None or self.needs_review or self.paid_published_at is not None or not self.pieces_owed:
            return False
        if self.awaits_stock:
            return False
        self.paid_published_at = at
        return True

    def record_customer(self, session: dict[str, Any]) -> None:
        """Add what the customer entered on Stripe's page. Known values are kept. After an erasure, nothing is added.

        `session` is Stripe's Checkout Session.
        """
        if self.erased_at is not None:
            return
        details = session.get("customer_details") or {}
        if (email := details.get("email")) and not self.customer_email:
            self.customer_email, self.customer_email_key = email, email_key(email)
        self.customer_name = self.customer_name or details.get("name")
        self.customer_phone = self.customer_phone or details.get("phone")
        self.customer_country = self.customer_country or (details.get("address") or {}).get("country")
        if (locale := session.get("locale")) and locale != "auto":
            self.locale = self.locale or locale
        if not self.shipping_address:
            self.record_address(session)

    def record_address(self, session: dict[str, Any]) -> None:
        """Replace shipping name and address by those of a Checkout Session, if any, unless the customer is erased."""
        shipping = shipping_of(session)
        if shipping and self.erased_at is None:
            self.shipping_name, self.shipping_address = shipping.get("name"), shipping["address"]

    def erase_customer(self, at: datetime) -> None:
        """Remove the customer's personal data from the order's columns, and the vouchers' links from its payments.

        Lines, amounts, dates and the address parts for taxes stay.
        """
        self.erased_at = self.erased_at or at
        for name in PERSONAL_COLUMNS:
            setattr(self, name, None)
        for payment in self.payments:
            payment.voucher_url = None
        if self.shipping_address:
            self.shipping_address = {part: self.shipping_address.get(part) for part in TAX_ADDRESS_PARTS}

    def _record_fact(self, fact: str, at: datetime) -> bool:
        """Store a fact unless it is known, and derive the status again; return True if the status changed."""
        if getattr(self, fact) is None:
            setattr(self, fact, at)
        before, self.status = self.status, self._strongest_status()
        return self.status != before

    def _strongest_status(self) -> OrderStatus:
        if self.paid_at is None and any(payment.is_under_way for payment in self.payments):
            return OrderStatus.PAYMENT_PENDING  # one attempt of several failed, and the money of another is under way
        return next((status for fact, status in STRONGEST_FIRST if getattr(self, fact) is not None), OrderStatus.OPEN)


class OrderLine(Base):
    """One line of the cart, at `position`.

    `amount_total` is what was agreed, after the shop's discount. `charged_total` is what Stripe charged for the line
    with its taxes and promotion codes. It is fetched when a refund of lines needs it.
    """

    __tablename__ = "order_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text())
    quantity: Mapped[int]
    unit_amount: Mapped[int] = mapped_column(BigInteger())
    amount_total: Mapped[int] = mapped_column(BigInteger())
    charged_total: Mapped[int | None] = mapped_column(BigInteger())

    @property
    def amount_subtotal(self) -> int:
        """The price of the line's pieces before discounts. These prices add up to the order's subtotal."""
        return self.quantity * self.unit_amount


class OrderSession(Base):
    """A Stripe session of an order. A cart that is recovered through Stripe's link gets another session."""

    __tablename__ = "order_sessions"

    session_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
