"""The inventory's tables, and how a reservation's status may change.

    held ─▶ committed      paid: the pieces left the shelf; nothing undoes this
      ├───▶ released       given back: the customer gave up, or the payment failed
      └───▶ expired        given back by the clock alone; a late fact may still take the pieces again

`released` and `expired` become `committed` when a payment turns up late. What is missing then stands on the line.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from events.database.migrations import Chain
from events.database.types import UtcDateTime, metadata
from events.messaging.chains import INBOX, OUTBOX
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

HELD, COMMITTED, RELEASED, EXPIRED = "held", "committed", "released", "expired"
OPENING, SALE, RETURN, ADJUSTMENT = "opening", "sale", "return", "adjustment"


class Base(DeclarativeBase):
    metadata = metadata()


class Stock(Base):
    """How many pieces of a sku are on the shelf, and how many of those are promised to open checkouts.

    `is_low`: staff were told that few are available (low_stock.py).
    """

    __tablename__ = "stock"
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
        return self.on_hand - self.reserved


class Reservation(Base):
    """The pieces promised to one checkout until `expires_at`."""

    __tablename__ = "reservations"
    __table_args__ = (
        CheckConstraint("status IN ('held','committed','released','expired')", name="status"),
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
        """The checkout is paid."""
        return self.status != COMMITTED and self._become(COMMITTED)

    def release(self) -> bool:
        """The checkout came to nothing, as a fact tells; that outlasts the clock's guess."""
        return self.status in (HELD, EXPIRED) and self._become(RELEASED)

    def expire(self) -> bool:
        """Its time is over and nobody has told us how the checkout ended."""
        return self.status == HELD and self._become(EXPIRED)

    def hold_again(self) -> bool:
        """The clock was wrong: the payment is on its way."""
        return self.status == EXPIRED and self._become(HELD)

    def extend(self, expires_at: datetime) -> bool:
        """A lease only ever grows: a repeated or late request must not shorten what another one was granted."""
        if self.status != HELD or expires_at <= self.expires_at:
            return False
        self.expires_at = expires_at
        return True

    def _become(self, status: str) -> bool:
        self.status = status
        return True


class ReservationLine(Base):
    """`quantity` pieces of one sku; `missing` of them were gone when a payment came late."""

    __tablename__ = "reservation_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("missing >= 0 AND missing <= quantity", name="missing"),
    )

    checkout_id: Mapped[str] = mapped_column(ForeignKey("reservations.checkout_id"), primary_key=True)
    sku: Mapped[str] = mapped_column(ForeignKey("stock.sku"), primary_key=True)
    quantity: Mapped[int]
    missing: Mapped[int]


class Movement(Base):
    """One change of what is on hand; a sku's deltas add up to its `on_hand`. Rows are only ever added.

    A checkout is sold once, and may come back in several returns.
    """

    __tablename__ = "movements"
    __table_args__ = (
        CheckConstraint("kind IN ('opening','sale','return','adjustment')", name="kind"),
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
    sku: Mapped[str] = mapped_column(ForeignKey("stock.sku"))
    kind: Mapped[str] = mapped_column(String(16))
    delta: Mapped[int]
    checkout_id: Mapped[str | None] = mapped_column(String(64))
    return_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text())
    actor: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(UtcDateTime())


CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("inventory", Base.metadata, Path(__file__).parent / "migrations" / "versions"),
)
