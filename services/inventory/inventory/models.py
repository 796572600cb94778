"""The inventory's tables, and the life of a reservation.

    held ──▶ committed      paid: the pieces have left the stock; this is final
      ├────▶ released       canceled or not paid: the pieces are available again
      └────▶ expired        its time is over: the pieces are available again

A late payment commits a `released` or `expired` reservation, too. Pieces that are gone by then are `missing` on their
line. A delayed payment that starts late makes an `expired` reservation `held` again, if all its pieces are available.
"""

from datetime import datetime
from enum import StrEnum

from events.database.types import UtcDateTime, metadata, one_of
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class ReservationStatus(StrEnum):
    """The statuses of a reservation."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class MovementKind(StrEnum):
    """The kinds of movement. An adjustment is an operator's correction."""

    OPENING = "opening"
    SALE = "sale"
    RETURN = "return"
    ADJUSTMENT = "adjustment"


HELD, COMMITTED, RELEASED, EXPIRED = (status.value for status in ReservationStatus)
OPENING, SALE, RETURN, ADJUSTMENT = (kind.value for kind in MovementKind)


class Base(DeclarativeBase):
    """The base of the service's tables."""

    metadata = metadata()


class StockItem(Base):
    """The stock of one sku: pieces on hand, and how many of these are reserved for open checkouts.

    `is_low` is True after `inventory.stock.low` was published for the sku, until it has recovered (low_stock.py).
    """

    __tablename__ = "stock_items"
    __table_args__ = (
        CheckConstraint("on_hand >= 0", name="on_hand"),
        CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="reserved"),
    )

    sku: Mapped[str] = mapped_column(String(64), primary_key=True)
    on_hand: Mapped[int]
    reserved: Mapped[int]
    is_low: Mapped[bool] = mapped_column(server_default=false())

    @property
    def available(self) -> int:
        """The pieces that can still be reserved."""
        return self.on_hand - self.reserved


class Reservation(Base):
    """The pieces that are kept for one checkout until `expires_at`.

    Its transitions return True if they changed something. They do not change the stock: reservations.py does.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        one_of("status", ReservationStatus),
        Index(
            "ix_reservations_held_expires_at",
            "expires_at",
            postgresql_where=text("status = 'held'"),
            sqlite_where=text("status = 'held'"),
        ),
    )

    checkout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    lines: Mapped[list["ReservationLine"]] = relationship(order_by="ReservationLine.sku", lazy="selectin")

    def commit(self) -> bool:
        """Set `committed`: the checkout is paid."""
        return self.status != COMMITTED and self._set_status(COMMITTED)

    def release(self) -> bool:
        """Set `released`: it is known that the checkout will not be paid. This also replaces `expired`."""
        return self.status in (HELD, EXPIRED) and self._set_status(RELEASED)

    def expire(self) -> bool:
        """Set `expired`: its time is over, and the end of the checkout is not known."""
        return self.status == HELD and self._set_status(EXPIRED)

    def hold_again(self) -> bool:
        """Set an expired reservation to `held` again: its payment is under way."""
        return self.status == EXPIRED and self._set_status(HELD)

    def extend(self, expires_at: datetime) -> bool:
        """Set a later end. An earlier one changes nothing, because requests can be repeated and out of order."""
        if self.status != HELD or expires_at <= self.expires_at:
            return False
        self.expires_at = expires_at
        return True

    def _set_status(self, status: str) -> bool:
        self.status = status
        return True


class ReservationLine(Base):
    """`quantity` pieces of one sku. `missing` of them were no longer available when a late payment arrived."""

    __tablename__ = "reservation_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("missing >= 0 AND missing <= quantity", name="missing"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("reservations.checkout_id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("stock_items.sku"), primary_key=True)
    quantity: Mapped[int]
    missing: Mapped[int]


class Movement(Base):
    """One change of a sku's `on_hand`; the deltas of a sku add up to it. Rows are added and never changed.

    A checkout has one sale for each sku, and can have several returns.
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
