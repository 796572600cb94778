"""The checkouts whose customers are erased: checked before personal data is stored."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from events.messaging.inbox_models import ErasedCheckout


def is_erased(session: Session, checkout_id: str) -> bool:
    """Return True if this checkout's customer is erased. The caller must hold a lock that the erasure takes."""
    return session.get(ErasedCheckout, checkout_id) is not None


def lock_erasure(session: Session, checkout_id: str) -> None:
    """Lock a checkout until the transaction ends, so that its data is not stored and erased at the same time.

    SQLite needs no lock: it has one writer.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"erase/{checkout_id}", 0))))
