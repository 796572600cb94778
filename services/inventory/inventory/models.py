"""The inventory's tables, and the life of a reservation.

    held ──▶ committed      paid: the pieces have left the stock; this is final
      ├────▶ released       canceled, not paid, or released by an operator: the pieces are available again
      └────▶ expired        its time is over: the pieces are available again

A late payment commits a `released` or `expired` reservation, too. Pieces that are gone by then are `missing` on their
line. A delayed payment makes a `released` or `expired` reservation `held` again, if MAX_RESERVED_PERCENT leaves room
for all its pieces and no operator has released them. So does an extension with an `expired` reservation.

Several Stripe sessions can pay one checkout: the customer can follow the recovery link of an expired session. So each
session's last fact is stored, and the reservation follows from all of them: one paid session commits it. Otherwise a
pending one keeps it held. Otherwise the end of a session releases it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from events.database.types import Json, UtcDateTime, metadata, one_of, partial_index
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class ReservationStatus(StrEnum):
    """The statuses of a reservation."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class SessionStatus(StrEnum):
    """The facts about a Stripe session, by precedence: one further down replaces one above it."""

    EXPIRED = "expired"
    PENDING = "pending"
    FAILED = "failed"
    PAID = "paid"


class MovementKind(StrEnum):
    """The kinds of movement. An adjustment is an operator's correction, or an oversold piece that has shipped."""

    OPENING = "opening"
    SALE = "sale"
    RETURN = "return"
    ADJUSTMENT = "adjustment"


HELD, COMMITTED, RELEASED, EXPIRED = (status.value for status in ReservationStatus)
SESSION_EXPIRED, SESSION_PENDING, SESSION_FAILED, SESSION_PAID = (status.value for status in SessionStatus)
SESSION_PRECEDENCE = [*SessionStatus]  # events come in any order
OPENING, SALE, RETURN, ADJUSTMENT = (kind.value for kind in MovementKind)


class Base(DeclarativeBase):
    """The base of the service's tables."""

    metadata = metadata()


class StockItem(Base):
    """The stock of one sku: the pieces on hand, and those that are reserved for unpaid checkouts.

    Sold pieces have left `on_hand`, also while they wait in the warehouse for their parcel. After a loss of pieces,
    more can be reserved than are on hand. The difference is the `deficit`: the checkouts that pay last may be oversold.

    `counted_at` is when the pieces were last counted, or got their opening stock: an older count is refused.

    `is_low` is True after `inventory.stock.low` was published for the sku, until more pieces than the threshold are
    available (low_stock.py).
    """

    __tablename__ = "stock_items"
    __table_args__ = (
        CheckConstraint("on_hand >= 0", name="on_hand"),
        CheckConstraint("reserved >= 0", name="reserved"),
        partial_index("ix_stock_items_low", "is_low", "sku"),
    )

    sku: Mapped[str] = mapped_column(String(64), primary_key=True)
    on_hand: Mapped[int]
    reserved: Mapped[int]
    is_low: Mapped[bool] = mapped_column(server_default=false())
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    @property
    def available(self) -> int:
        """The pieces on hand that are not reserved. New checkouts can reserve only the `reservable` ones."""
        return max(0, self.on_hand - self.reserved)

    def reservable(self, max_percent: int) -> int:
        """Return the pieces that a new checkout can reserve, if all unpaid ones can hold `max_percent` of `on_hand`."""
        return max(0, -(-self.on_hand * max_percent // 100) - self.reserved)  # rounded up: one piece is possible

    @property
    def deficit(self) -> int:
        """The pieces that are reserved but not on hand."""
        return max(0, self.reserved - self.on_hand)


class Reservation(Base):
    """The pieces that are kept for one checkout until `expires_at`.

    `goods_revision` is the revision of the last `orders.goods.changed`: an event with an earlier one is stale.
    `notified_expires_at` is the end that `inventory.reservation.expiring` was published for. After
    `operator_released_at` the pieces are never held again: an operator has released them.

    Its transitions return True if they changed something. They do not change the stock: reservations.py does.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        one_of("status", ReservationStatus),
        partial_index("ix_reservations_held_expires_at", "status = 'held'", "expires_at"),
        Index("ix_reservations_expires_at", "expires_at"),
        Index("ix_reservations_status_checkout_id", "status", "checkout_id"),
    )

    checkout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    notified_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    goods_revision: Mapped[int] = mapped_column(server_default="0", default=0)
    operator_released_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    lines: Mapped[list["ReservationLine"]] = relationship(order_by="ReservationLine.sku", lazy="selectin")
    sessions: Mapped[list["ReservationSession"]] = relationship(
        order_by="ReservationSession.session_id", lazy="selectin"
    )

    @property
    def pending_since(self) -> datetime | None:
        """The time when a pending payment was last reported; None if none is under way or a session is paid."""
        pending = [session.reported_at for session in self.sessions if session.status == SESSION_PENDING]
        return max(pending, default=None) if not self.is_paid else None

    @property
    def is_pending(self) -> bool:
        """True while a delayed payment of any of its sessions is under way and none of them is paid."""
        return self.pending_since is not None

    @property
    def is_paid(self) -> bool:
        """True if any of its sessions is paid."""
        return any(session.status == SESSION_PAID for session in self.sessions)

    def record_session(self, session_id: str, status: str, payment_status: str | None, reported_at: datetime) -> bool:
        """Record the status of a Stripe session. Return False if this status, or one with precedence, is known."""
        known = next((each for each in self.sessions if each.session_id == session_id), None)
        if known is None:
            known = ReservationSession(checkout_id=self.checkout_id, session_id=session_id)
            self.sessions.append(known)
        elif SESSION_PRECEDENCE.index(SessionStatus(status)) <= SESSION_PRECEDENCE.index(SessionStatus(known.status)):
            return False
        known.status, known.payment_status, known.reported_at = status, payment_status, reported_at
        return True

    def commit(self) -> bool:
        """Set `committed`: the checkout is paid."""
        return self.status != COMMITTED and self._set_status(COMMITTED)

    def release(self) -> bool:
        """Set `released`, also after `expired`: the checkout was canceled or not paid, or an operator released it."""
        return self.status in (HELD, EXPIRED) and self._set_status(RELEASED)

    def expire(self) -> bool:
        """Set `expired`: its time is over, and the end of the checkout is not known."""
        return self.status == HELD and self._set_status(EXPIRED)

    def hold_again(self) -> bool:
        """Set an expired reservation to `held` again, and a released one if a payment is under way.

        What an operator released stays released.
        """
        if self.operator_released_at is not None:
            return False
        return (self.status == EXPIRED or (self.status == RELEASED and self.is_pending)) and self._set_status(HELD)

    def extend(self, expires_at: datetime) -> bool:
        """Set a later end, if held. An earlier one changes nothing: requests can be repeated and out of order."""
        if self.status != HELD or expires_at <= self.expires_at:
            return False
        self.expires_at = expires_at
        return True

    def _set_status(self, status: str) -> bool:
        self.status = status
        return True


class DoubtedReservation(Base):
    """An unpaid checkout whose reserved pieces may be gone, as published (doubts.py).

    It has its own table, because a loss of pieces has already locked the stock, and the lock order is reservations
    before stock. A foreign key would lock the reservation, so there is none.
    """

    __tablename__ = "doubted_reservations"

    checkout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    doubted_at: Mapped[datetime] = mapped_column(UtcDateTime())


class ReservationSession(Base):
    """One Stripe session of a checkout, with the last fact about it.

    `payment_status` is the value that Stripe reported.
    """

    __tablename__ = "reservation_sessions"
    __table_args__ = (
        one_of("status", SessionStatus),
        partial_index("ix_reservation_sessions_pending", "status = 'pending'", "checkout_id"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("reservations.checkout_id"), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    payment_status: Mapped[str | None] = mapped_column(String(64))
    reported_at: Mapped[datetime] = mapped_column(UtcDateTime())


class ReservationLine(Base):
    """`quantity` pieces of one sku. `missing` of them are owed but not in stock.

    Pieces are missing if they were not available at the payment, or when their refund failed after a return. A missing
    piece that ships after all is no longer missing.

    `shipped` pieces are in parcels, and `canceled` ones do not ship any more, because of a refund or a cancellation.
    `sold_unshipped` is derived: the sold pieces that wait for their parcel. Cancellations count against
    the missing pieces first.
    """

    __tablename__ = "reservation_lines"
    __table_args__ = (
        partial_index("ix_reservation_lines_unshipped", "unshipped > 0", "sku"),
        Index("ix_reservation_lines_sku_checkout_id", "sku", "checkout_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("missing >= 0 AND missing <= quantity", name="missing"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("reservations.checkout_id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("stock_items.sku"), primary_key=True)
    quantity: Mapped[int]
    missing: Mapped[int]
    shipped: Mapped[int] = mapped_column(server_default="0", default=0)
    canceled: Mapped[int] = mapped_column(server_default="0", default=0)
    # The column has its old name, because migrations only expand.
    sold_unshipped: Mapped[int] = mapped_column("unshipped", server_default="0", default=0)

    @property
    def sold(self) -> int:
        """The pieces that left the stock, if the reservation is committed."""
        return self.quantity - self.missing

    def update_sold_unshipped(self) -> None:
        """Derive `sold_unshipped` again. Call it after each change of the other numbers of a committed reservation."""
        self.sold_unshipped = max(0, min(self.quantity - self.canceled, self.sold) - self.shipped)


class Movement(Base):
    """One change of a sku's `on_hand`; the deltas of a sku add up to it. Rows are added and never changed.

    A checkout has at most one sale for each sku, and can have several returns.
    """

    __tablename__ = "movements"
    __table_args__ = (
        one_of("kind", MovementKind),
        UniqueConstraint("return_id", "sku"),
        Index(
            "uq_movements_sale",
            "checkout_id",
            "sku",
            unique=True,
            postgresql_where=text("kind = 'sale'"),
            sqlite_where=text("kind = 'sale'"),
        ),
        Index("ix_movements_checkout_id", "checkout_id"),
        Index("ix_movements_sku_id", "sku", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    sku: Mapped[str] = mapped_column(ForeignKey("stock_items.sku"))
    kind: Mapped[str] = mapped_column(String(16))
    delta: Mapped[int]
    checkout_id: Mapped[str | None] = mapped_column(String(64))
    return_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text())
    actor: Mapped[str] = mapped_column(String(128))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime())


class CountedShipment(Base):
    """A parcel whose pieces were counted as shipped: a second event about it counts nothing."""

    __tablename__ = "shipments"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    checkout_id: Mapped[str] = mapped_column(String(64))


class StockChange(Base):
    """An operator's change of the stock, by its Idempotency-Key, with the answer that a repeated request gets."""

    __tablename__ = "stock_changes"

    idempotency_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]] = mapped_column(Json())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
