"""The tables of the catalog and of the checkouts, and the changes of status that a checkout allows.

new ─▶ open ─▶ complete        the customer finished the page; this replaces expired, canceled and abandoned, too
 │      ├────▶ expired         Stripe ended the session before the customer paid
 │      └────▶ canceled        the customer or an operator canceled
 └───────────▶ abandoned       never became open: the customer has no session to pay
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from events.database.types import Json, UtcDateTime, metadata, one_of, partial_index
from events.messaging.session_payment import is_paid
from events.observability import tracing
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class CheckoutStatus(StrEnum):
    """The statuses of a checkout. The module's docstring explains them."""

    NEW = "new"
    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"
    CANCELED = "canceled"
    ABANDONED = "abandoned"


class CheckoutPaymentStatus(StrEnum):
    """The statuses of a complete checkout's payment. Pending: a delayed payment is under way."""

    PENDING = "pending"
    FAILED = "failed"
    PAID = "paid"


class TaxBehavior(StrEnum):
    """The kinds of prices for Stripe's automatic tax: the tax is part of the price, or is added to it."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class DiscountUseStatus(StrEnum):
    """The statuses of a discount's use, explained in `DiscountUse`."""

    HELD = "held"
    USED = "used"
    RELEASED = "released"


NEW, OPEN, COMPLETE, EXPIRED, CANCELED, ABANDONED = (status.value for status in CheckoutStatus)
PAYMENT_PENDING, PAYMENT_FAILED, PAYMENT_PAID = (status.value for status in CheckoutPaymentStatus)
INCLUSIVE, EXCLUSIVE = (behavior.value for behavior in TaxBehavior)
HELD, USED, RELEASED = (status.value for status in DiscountUseStatus)

ENDED_UNPAID = (EXPIRED, CANCELED, ABANDONED)
# Later ones replace earlier ones: events come in any order.
PAYMENT_PRECEDENCE = (None, PAYMENT_PENDING, PAYMENT_FAILED, PAYMENT_PAID)
ERASED_FINGERPRINT = ""  # of a checkout whose customer is erased: its request is no longer known
RECOVERY_TIME = timedelta(days=31)  # Stripe's recovery link lives 30 days, and the session that it opens one more
DELAYED_PAYMENT_CHECK = timedelta(days=1)  # until Stripe is asked: delayed methods need a day to weeks


def payment_status_of(stripe_session: Mapping[str, Any]) -> str:
    """Return the payment status of a complete Stripe session. A free session counts as paid.

    A status that this release does not know counts as pending: the sweeper asks Stripe again.
    """
    return PAYMENT_PAID if is_paid(stripe_session) else PAYMENT_PENDING


class Base(DeclarativeBase):
    """The base class of the service's tables."""

    metadata = metadata()


class Product(Base):
    """One product under its sku, such as one size of a garment; `prices` maps a currency to minor units.

    `tax_code` and `tax_behavior` are for Stripe's automatic tax. `tax_rates` are ids of fixed rates at Stripe, for
    shops without automatic tax.
    """

    __tablename__ = "products"
    __table_args__ = (
        one_of("tax_behavior", TaxBehavior),
        Index("ix_products_prices", "prices", postgresql_using="gin"),
    )

    sku: Mapped[str] = mapped_column(String(64), primary_key=True)
    group: Mapped[str] = mapped_column(String(64))
    size: Mapped[str | None] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text())
    image: Mapped[str | None] = mapped_column(Text())
    prices: Mapped[dict[str, int]] = mapped_column(Json())
    tax_code: Mapped[str | None] = mapped_column(String(32))
    tax_behavior: Mapped[str] = mapped_column(String(16), server_default=INCLUSIVE)
    tax_rates: Mapped[list[str]] = mapped_column(Json(), server_default="[]")
    active: Mapped[bool]


class Discount(Base):
    """A code for a percentage or an amount off, with optional minimum, validity period and usage limits.

    `amounts_off` and `minimums` map a currency to minor units. The code is valid from `starts_at` until just before
    `ends_at`. `limit_total` is the maximum number of uses, `limit_per_email` that of each e-mail address.
    """

    __tablename__ = "discounts"
    __table_args__ = (
        CheckConstraint("percent_off BETWEEN 1 AND 100", name="percent_off"),
        CheckConstraint("limit_total > 0", name="limit_total"),
        CheckConstraint("limit_per_email > 0", name="limit_per_email"),
    )

    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    percent_off: Mapped[int | None]
    amounts_off: Mapped[dict[str, int] | None] = mapped_column(Json())
    minimums: Mapped[dict[str, int]] = mapped_column(Json(), server_default="{}")
    starts_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    limit_total: Mapped[int | None]
    limit_per_email: Mapped[int | None]
    active: Mapped[bool]


class DiscountUse(Base):
    """A checkout's use of a discount: held while the customer may pay, used once paid, released otherwise.

    Each checkout has at most one row, and its status follows from the checkout's. So a duplicate event counts once.
    `email` is a key for comparison (events.database.email_keys).
    """

    __tablename__ = "discount_uses"
    __table_args__ = (
        one_of("status", DiscountUseStatus),
        Index("ix_discount_uses_code_status", "code", "status"),
        Index("ix_discount_uses_code_email", "code", "email"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("checkouts.id"), primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("discounts.code"))
    email: Mapped[str | None] = mapped_column(String(320))
    status: Mapped[str] = mapped_column(String(16))


class ShippingOption(Base):
    """A way to ship an order, in `min_days` to `max_days` business days.

    `amounts` maps a currency to minor units. Shipping is free for goods that cost `free_from` or more in a currency.
    `countries` (ISO 3166, upper case) limits the destinations; an empty list allows all that the shop ships to.
    """

    __tablename__ = "shipping_options"
    __table_args__ = (one_of("tax_behavior", TaxBehavior),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    amounts: Mapped[dict[str, int]] = mapped_column(Json())
    free_from: Mapped[dict[str, int]] = mapped_column(Json())
    countries: Mapped[list[str]] = mapped_column(Json(), server_default="[]")
    tax_behavior: Mapped[str] = mapped_column(String(16), server_default=INCLUSIVE)
    min_days: Mapped[int]
    max_days: Mapped[int]
    active: Mapped[bool]


class Checkout(Base):
    """One checkout with its snapshot. Its Stripe session is made from this row alone, so a repeated call is identical.

    `session_options` (creation.py) are the settings that Stripe's page follows.
    `reserved_at` is set before the first call to Stripe: a row without it has no session.
    `check_at` is when the sweeper looks at this row next. It is null when nothing is left to do.
    `shipping_options` are those that the session offers. The amounts include the first of them, which is `shipping`.
    `client_key` and `email_key` are hashes of the client's IP address and e-mail address (limits.py), until the
    checkout is paid or can no longer be paid. `pieces` is the number of pieces in all lines.
    `session_payments` has the payment status by session: a recovered cart has several sessions. `pending_at` is when
    the first delayed payment started. `coupon_ends_at` is when the sweeper deletes the coupon that was made for the
    session.
    """

    __tablename__ = "checkouts"
    __table_args__ = (
        one_of("status", CheckoutStatus),
        CheckConstraint("amount_total = amount_subtotal - amount_discount + amount_shipping", name="sum"),
        CheckConstraint("amount_total >= 0", name="amount_total"),
        one_of("payment_status", CheckoutPaymentStatus),
        Index("ix_checkouts_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_checkouts_status_id", "status", "id"),
        partial_index("ix_checkouts_client_key_status", "client_key IS NOT NULL", "client_key", "status", "id"),
        partial_index("ix_checkouts_email_key_status", "email_key IS NOT NULL", "email_key", "status"),
        partial_index("ix_checkouts_payment_status", "payment_status IS NOT NULL", "payment_status", "status", "id"),
        partial_index("ix_checkouts_customer_email", "customer_email IS NOT NULL", "customer_email", "id"),
        partial_index("ix_checkouts_discount_code", "discount_code IS NOT NULL", "discount_code", "id"),
        Index("ix_checkouts_lines", "lines", postgresql_using="gin", postgresql_ops={"lines": "jsonb_path_ops"}),
        Index("ix_checkouts_coupon_ends_at", "coupon_ends_at", postgresql_where=text("coupon_ends_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime())
    check_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    reserved_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    currency: Mapped[str] = mapped_column(String(3))
    amount_subtotal: Mapped[int] = mapped_column(BigInteger())
    amount_discount: Mapped[int] = mapped_column(BigInteger())
    amount_shipping: Mapped[int] = mapped_column(BigInteger())
    amount_total: Mapped[int] = mapped_column(BigInteger())
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json())
    shipping: Mapped[dict[str, Any] | None] = mapped_column(Json())
    discount_code: Mapped[str | None] = mapped_column(String(40))
    customer_email: Mapped[str | None] = mapped_column(String(320))
    locale: Mapped[str | None] = mapped_column(String(16))
    success_url: Mapped[str] = mapped_column(Text())
    cancel_url: Mapped[str] = mapped_column(Text())
    automatic_tax: Mapped[bool]
    session_options: Mapped[dict[str, Any]] = mapped_column(Json(), server_default="{}")
    payment_status: Mapped[str | None] = mapped_column(String(16))
    shipping_options: Mapped[list[dict[str, Any]]] = mapped_column(Json(), server_default="[]")
    session_payments: Mapped[dict[str, str]] = mapped_column(Json(), server_default="{}")
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    coupon_ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    client_key: Mapped[str | None] = mapped_column(String(64))
    email_key: Mapped[str | None] = mapped_column(String(64))
    pieces: Mapped[int] = mapped_column(server_default="0")
    session_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    url: Mapped[str | None] = mapped_column(Text())
    livemode: Mapped[bool | None]
    traceparent: Mapped[str | None] = mapped_column(String(64), default=tracing.traceparent)

    def attach_session(self, stripe_session: Mapping[str, Any]) -> bool:
        """Record the session that Stripe made for this checkout; return False if a session is recorded already."""
        if self.session_id is not None:
            return False
        self.session_id, self.url = stripe_session["id"], stripe_session.get("url")
        self.livemode = bool(stripe_session.get("livemode"))
        return True

    def open(self, check_at: datetime) -> bool:
        """Mark the checkout as ready to pay; return False if it is not new.

        If no webhook has reported the session's end by `check_at`, the sweeper asks Stripe.
        """
        if self.status != NEW:
            return False
        self.status, self.check_at = OPEN, check_at
        return True

    def complete(self, session_id: str) -> bool:
        """Mark the checkout as complete; return False if it is complete already.

        `session_id`, the completed session, becomes the checkout's. It is a new session if the customer used Stripe's
        recovery link.
        """
        if self.status == COMPLETE:
            return False
        self.session_id = session_id
        return self._end(COMPLETE)

    def record_payment_status(self, session_id: str, status: str, now: datetime) -> bool:
        """Record a session's payment status if it takes precedence over the recorded one; return False otherwise.

        The checkout's payment status follows from all its sessions: paid if one is paid, else pending if one is
        pending. If no webhook reports how a pending payment ended, the sweeper asks Stripe.
        """
        known = self.session_payments.get(session_id)
        if PAYMENT_PRECEDENCE.index(status) <= PAYMENT_PRECEDENCE.index(known):
            return False
        self.session_payments = {**self.session_payments, session_id: status}
        found = self.session_payments.values()
        self.payment_status = next(each for each in (PAYMENT_PAID, PAYMENT_PENDING, PAYMENT_FAILED) if each in found)
        self.check_at = None
        if self.payment_status == PAYMENT_PENDING:
            self.pending_at, self.check_at = self.pending_at or now, now + DELAYED_PAYMENT_CHECK
        elif self.payment_status == PAYMENT_FAILED:
            self._forget_client_later()
        else:
            self._forget_client()
        if status == PAYMENT_PAID:
            self.session_id = session_id
        return True

    @property
    def pending_sessions(self) -> list[str]:
        """The ids of the sessions whose delayed payment is under way."""
        return sorted(session_id for session_id, status in self.session_payments.items() if status == PAYMENT_PENDING)

    def expire(self) -> bool:
        """Mark a checkout that has not ended as expired; return False otherwise."""
        return self.status in (NEW, OPEN) and self._end(EXPIRED)

    def cancel(self) -> bool:
        """Mark an open or expired checkout as canceled; return False otherwise.

        The webhook about the canceled session may arrive before Stripe's answer. The checkout is then expired already.
        """
        return self.status in (OPEN, EXPIRED) and self._end(CANCELED)

    def abandon(self, check_at: datetime) -> bool:
        """Mark a new checkout as abandoned; return False otherwise. The sweeper cleans it up at `check_at`."""
        if self.status != NEW:
            return False
        self.status, self.check_at = ABANDONED, check_at
        self._end_coupon()
        self._forget_client()
        return True

    def refuse(self, check_at: datetime) -> bool:
        """Abandon a new checkout that cannot be started, and free its key; return False if it is not new."""
        if not self.abandon(check_at):
            return False
        self.idempotency_key, self.reserved_at = None, None  # Stripe has no session of it
        return True

    def erase_customer(self) -> None:
        """Remove the e-mail address, the hashes of the client, the language, all URLs and the request's fingerprint."""
        self.customer_email, self.locale, self.url = None, None, None
        self._forget_client()
        self.fingerprint, self.success_url, self.cancel_url = ERASED_FINGERPRINT, "", ""

    def _end(self, status: str) -> bool:
        self.status, self.check_at = status, None
        if status != COMPLETE:  # a complete one may wait for its delayed payment: record_payment_status
            self._forget_client_later()
        if status != EXPIRED:  # the customer may follow the recovery link of an expired session
            self._end_coupon()
        return True

    def forget_ended_client(self) -> None:
        """Remove the hashes of the client if the checkout is expired or canceled, or its payment has failed.

        The sweeper calls this at `check_at`.
        """
        if self.status in (EXPIRED, CANCELED) or self.payment_status == PAYMENT_FAILED:
            self._forget_client()
            self.check_at = None

    def _forget_client_later(self) -> None:
        """Let the sweeper remove the hashes of the client once no recovery link can lead to a payment any more.

        Until then the customer can recover the cart, and the limits count its delayed payment.
        """
        if not self.session_options.get("allow_recovery", True):
            self._forget_client()
        elif self.client_key or self.email_key:
            self.check_at = self.expires_at + RECOVERY_TIME

    def _forget_client(self) -> None:
        """Remove the hashes of the client: the limits can no longer count this checkout."""
        self.client_key, self.email_key = None, None

    def _end_coupon(self) -> None:
        """Make the coupon due, so that the sweeper deletes it in its next run."""
        if self.coupon_ends_at is not None:
            self.coupon_ends_at = self.created_at
