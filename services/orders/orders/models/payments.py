"""Payments of an order and its failed payment attempts."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from events.database.types import Json, UtcDateTime, one_of
from sqlalchemy import BigInteger, ForeignKey, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class PaymentStatus(StrEnum):
    """The statuses of a payment: Stripe waits for the money, has it, or does not get it."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Payment(Base):
    """A payment for an order. Its id is that of the payment intent, or of the session if the order is free.

    `status` says whether Stripe has the money. `paid_at` is set once a session reports that it is paid by this payment.
    Only then is the order paid, because only the session has the amounts that the order is checked against.

    `amount` is the total. The amounts that make up the total come from the completed session. Until then, they are
    null, and `amount_tax` is 0. `shipping_total` is the shipping with its taxes. The presentment amount is what the
    customer's bank statement shows, if it is in another currency. `recovered_from` is the expired session of a
    recovered cart. A payment `is_late` if it paid a recovered cart, or if its event arrived after the session's end:
    its stock may be for sale again. `payment_method` is known from the charge of a debit, or once Stripe asks the
    customer to pay a voucher or to send a bank transfer.
    """

    __tablename__ = "payments"
    __table_args__ = (one_of("status", PaymentStatus),)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    session_id: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    amount_tax: Mapped[int] = mapped_column(BigInteger())
    amount_subtotal: Mapped[int | None] = mapped_column(BigInteger())
    amount_discount: Mapped[int | None] = mapped_column(BigInteger())
    amount_shipping: Mapped[int | None] = mapped_column(BigInteger())
    shipping_total: Mapped[int | None] = mapped_column(BigInteger())
    tax_included: Mapped[bool | None]
    presentment_currency: Mapped[str | None] = mapped_column(String(3))
    presentment_amount: Mapped[int | None] = mapped_column(BigInteger())
    recovered_from: Mapped[str | None] = mapped_column(String(255))
    is_late: Mapped[bool] = mapped_column(server_default=false(), default=False)
    payment_method_types: Mapped[list[str] | None] = mapped_column(Json())
    payment_method: Mapped[str | None] = mapped_column(String(64))
    voucher_url: Mapped[str | None] = mapped_column(Text())
    voucher_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())

    @property
    def charged(self) -> dict[str, Any] | None:
        """The amounts that Stripe charges, as a completed session reported them; None before that."""
        if self.amount_subtotal is None:
            return None
        return {
            "currency": self.currency,
            "amount_subtotal": self.amount_subtotal,
            "amount_discount": self.amount_discount,
            "amount_shipping": self.amount_shipping,
            "amount_tax": self.amount_tax,
            "tax_included": bool(self.tax_included),
            "amount_total": self.amount,
            "presentment_currency": self.presentment_currency,
            "presentment_amount": self.presentment_amount,
        }

    @property
    def is_under_way(self) -> bool:
        """True if a session is completed with this payment, and it has neither failed nor paid the order yet."""
        return self.session_id is not None and self.status != PaymentStatus.FAILED and self.paid_at is None

    def record_instructions(self, method: str, url: str | None, expires_at: datetime | None) -> bool:
        """Record how the customer has to pay: a voucher or a bank transfer.

        Return False and change nothing if a link is stored already, or if another method is recorded.
        """
        if self.voucher_url is not None or self.payment_method not in (None, method):
            return False
        self.payment_method, self.voucher_url, self.voucher_expires_at = method, url, expires_at
        return True

    def record_charged_method(self, method: str) -> None:
        """Record the method that a charge shows. A change removes the link of the voucher or transfer."""
        if self.payment_method != method:
            self.payment_method, self.voucher_url, self.voucher_expires_at = method, None, None

    def mark_succeeded(self) -> bool:
        """Set the status to succeeded; return False if it is already."""
        if self.status == PaymentStatus.SUCCEEDED:
            return False
        self.status = PaymentStatus.SUCCEEDED
        return True

    def mark_failed(self) -> bool:
        """Set the status to failed; return False if the payment has succeeded or failed already."""
        if self.status != PaymentStatus.PENDING:
            return False
        self.status = PaymentStatus.FAILED
        return True

    def mark_paid(self, at: datetime) -> bool:
        """Record that this payment succeeded and paid a session; return False if a paid session was recorded before."""
        self.mark_succeeded()
        if self.paid_at is not None:
            return False
        self.paid_at = at
        return True


class PaymentAttempt(Base):
    """A failed attempt to pay. Its id is that of the charge, if there is one. The customer may try again."""

    __tablename__ = "payment_attempts"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_intent: Mapped[str | None] = mapped_column(String(255))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text())
    attempted_at: Mapped[datetime] = mapped_column(UtcDateTime())
