"""Functions that add timeline entries, and the format of operators' notes in them."""

from events.database.transaction import defer_insert
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.orders import Order
from orders.models.timeline import EntryKind, TimelineEntry

NOTE_START = " “"


def add_entry(session: Session, order: Order, cause: Cause, kind: EntryKind, text: str) -> None:
    """Add an entry to the order's timeline at the end of the transaction, once per cause and kind.

    Times are cut to whole seconds, the precision of Stripe's times. So entries of one second keep the order in
    which they were added.
    """
    defer_insert(
        session,
        TimelineEntry,
        order_id=order.id,
        happened_at=cause.occurred_at.replace(microsecond=0),
        kind=kind,
        text=text,
        cause_id=cause.id,
    )


def format_note(note: str | None) -> str:
    """Return an operator's note, quoted for the end of an entry's text; an empty text without a note."""
    return f"{NOTE_START}{note}”" if note else ""


def without_note(text: str) -> str:
    """Return an entry's text without the operator's note at its end."""
    return text.partition(NOTE_START)[0]
