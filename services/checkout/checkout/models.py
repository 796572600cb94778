"""The catalogue's and the checkouts' tables, and how a checkout's status may change.

new ─▶ open ─▶ complete        complete beats expired, canceled and abandoned: money came
 │      ├────▶ expired         Stripe ended the session, nobody had paid
 │      └────▶ canceled        the customer gave up
 └───────────▶ abandoned       never finished: the customer was given no session
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from events.database.migrations import Chain
from events.database.types import Json, UtcDateTime, metadata
from events.messaging.chains import INBOX, OUTBOX
from events.observability import tracing
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NEW, OPEN, COMPLETE, EXPIRED, CANCELED, ABANDONED = (
    "new",
    "open",
    "complete",
    "expired",
    "canceled",
    "abandoned",
)
ENDED = (EXPIRED, CANCELED, ABANDONED)
PENDING, FAILED, PAID = "pending", "failed", "paid"
PAYMENTS = (None, PENDING, FAILED, PAID)  # a later one beats an earlier one, in whatever order they are told
INCLUSIVE, EXCLUSIVE = "inclusive", "exclusive"
HELD, USED, RELEASED = "held", "used", "released"
ERASED = ""  # the fingerprint of a request of which nobody knows any more what it asked for
AFTER_A_DAY = timedelta(days=1)  # a delayed method needs a day to weeks; its webhook is asked after so late


def payment_of(found: Mapping[str, Any]) -> str:
    """What a completed session at Stripe says of the money; a free one needs none."""
    return PENDING if found["payment_status"] == "unpaid" else PAID


class Base(DeclarativeBase):
    metadata = metadata()


class Product(Base):
    """One sellable size of one garment; `prices` maps a currency to minor units.

    `tax_code` and `tax_behavior` (inclusive, exclusive) are for Stripe's automatic tax, `tax_rates` (ids of fixed
    rates at Stripe) for shops that do without it.
    """

    __tablename__ = "product"

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
    """A code that customers type in: so many percent off, or an amount off by currency.

    It is valid from `starts_at` until before `ends_at`, for goods worth `minimums` by currency (empty: none), and
    `limit_total` times in all, `limit_per_email` times for one customer.
    """

    __tablename__ = "discount"
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
    """What one checkout does with a discount: holds a use while it may be paid, has used it, or gave it back.

    One row a checkout, its status derived from the checkout's: whatever is told twice counts once.
    """

    __tablename__ = "discount_use"
    __table_args__ = (
        CheckConstraint("status IN ('held','used','released')", name="status"),
        Index("ix_discount_use_code_status", "code", "status"),
        Index("ix_discount_use_code_email", "code", "email"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("checkout.id"), primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("discount.code"))
    email: Mapped[str | None] = mapped_column(String(320))
    status: Mapped[str] = mapped_column(String(16))


class ShippingOption(Base):
    """A way to send the goods, `min_days` to `max_days` business days; free from a value of goods, by currency.

    `countries` (ISO 3166, upper case) are those that it reaches; empty: all that the shop ships to.
    """

    __tablename__ = "shipping_option"

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
    """One purchase as it was agreed: the Stripe session is made from this row alone, so a repeat is identical.

    `reserved_at` is set before Stripe is called for the first time: without it there is no session.
    `check_at` is when the sweep looks at this checkout next; null once nothing is left to do.
    `page` is what Stripe's page asks the customer for and offers her, as the settings were (agreements.py).
    """

    __tablename__ = "checkout"
    __table_args__ = (
        CheckConstraint("status IN ('new','open','complete','expired','canceled','abandoned')", name="status"),
        CheckConstraint("amount_total = amount_subtotal - amount_discount + amount_shipping", name="sum"),
        CheckConstraint("amount_total >= 0", name="amount_total"),
        CheckConstraint("payment IN ('pending','failed','paid')", name="payment"),
        Index("ix_checkout_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
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
    page: Mapped[dict[str, Any]] = mapped_column(Json(), server_default="{}")
    payment: Mapped[str | None] = mapped_column(String(16))
    session_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    url: Mapped[str | None] = mapped_column(Text())
    livemode: Mapped[bool | None]
    traceparent: Mapped[str | None] = mapped_column(String(64), default=tracing.traceparent)

    def adopt(self, found: Mapping[str, Any]) -> bool:
        """Take in the session that Stripe made for this checkout; False if one is known already."""
        if self.session_id is not None:
            return False
        self.session_id, self.url, self.livemode = found["id"], found.get("url"), bool(found["livemode"])
        return True

    def open(self, check_at: datetime) -> bool:
        """The customer can pay now; the sweep asks Stripe at `check_at` if no webhook has said how it ended."""
        if self.status != NEW:
            return False
        self.status, self.check_at = OPEN, check_at
        return True

    def complete(self, session_id: str) -> bool:
        """The customer finished, maybe in the session that Stripe's recovery link made from the expired one."""
        if self.status == COMPLETE:
            return False
        self.session_id = session_id
        return self._end(COMPLETE)

    def record_payment(self, payment: str, at: datetime) -> bool:
        """What is known of the money. The sweep asks Stripe how a delayed payment ended if no webhook says so."""
        if PAYMENTS.index(payment) <= PAYMENTS.index(self.payment):
            return False
        self.payment = payment
        self.check_at = at + AFTER_A_DAY if payment == PENDING else None
        return True

    def expire(self) -> bool:
        return self.status in (NEW, OPEN) and self._end(EXPIRED)

    def cancel(self) -> bool:
        """The customer has given up an open checkout. Stripe's news of that end may have come before its answer."""
        return self.status in (OPEN, EXPIRED) and self._end(CANCELED)

    def abandon(self, check_at: datetime) -> bool:
        """Whoever was working on it can no longer finish; the sweep clears away what they left, from `check_at`."""
        if self.status != NEW:
            return False
        self.status, self.check_at = ABANDONED, check_at
        return True

    def forget_customer(self) -> None:
        """Erase who she is, and what tells it: a hash of what she asked for, addresses that the shop made for her."""
        self.customer_email, self.locale, self.url = None, None, None
        self.fingerprint, self.success_url, self.cancel_url = ERASED, "", ""

    def _end(self, status: str) -> bool:
        self.status, self.check_at = status, None
        return True


CHAINS = (INBOX, OUTBOX, Chain("checkout", Base.metadata, Path(__file__).parent / "migrations" / "versions"))
