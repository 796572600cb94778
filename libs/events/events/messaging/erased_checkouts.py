"""The checkouts whose customers are erased: checked before personal data is stored."""

from sqlalchemy.orm import Session

from events.database.transaction import lock_keys
from events.messaging.inbox_models import ErasedCheckout


def is_erased(session: Session, checkout_id: str) -> bool:
    """Return True if this checkout's customer is erased. The caller must hold a lock that the erasure takes."""
    return session.get(ErasedCheckout, checkout_id) is not None


def lock_erasure(session: Session, checkout_id: str) -> None:
    """Lock a checkout until the transaction ends, so that its data is not stored and erased at the same time."""
    lock_keys(session, [f"erase/{checkout_id}"])
