"""The state of the scheduled reconciliation: how far it has come, and the differences that are open."""

from datetime import datetime

from events.database.types import UtcDateTime
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class JobWatermark(Base):
    """The time up to which a job has looked at everything, and the end of its last successful run."""

    __tablename__ = "job_watermarks"

    job_name: Mapped[str] = mapped_column(String(64), primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(UtcDateTime())
    succeeded_at: Mapped[datetime | None] = mapped_column(UtcDateTime())


class OpenDifference(Base):
    """A difference that the last comparison of its object has found. Each run compares that object again.

    `about` is the kind of the object, `about_id` its id: of a session, refund, dispute or payment intent at Stripe, or
    of an order's checkout. `repaired_by` is the id of the event that was sent and should repair it.
    """

    __tablename__ = "open_differences"

    about_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    about: Mapped[str] = mapped_column(String(16))
    checkout_id: Mapped[str] = mapped_column(String(255))
    repaired_by: Mapped[str | None] = mapped_column(String(255))
    found_at: Mapped[datetime] = mapped_column(UtcDateTime())
