"""The causes of changes to an order."""

from dataclasses import dataclass
from datetime import datetime

from events.clock import utcnow
from events.messaging.event import Event


@dataclass(frozen=True)
class Cause:
    """The cause of a change: an event, an operator's request, or Stripe's answer to a call.

    `event` is None unless an event is the cause.
    """

    id: str
    occurred_at: datetime
    event: Event | None = None

    @classmethod
    def from_event(cls, event: Event) -> "Cause":
        """Return the cause of the changes that an event reports."""
        return cls(event.id, event.occurred_at, event)

    @classmethod
    def now(cls, about: str) -> "Cause":
        """Return the cause of a change that happens now. `about` is a refund request's id or a new id."""
        return cls(about, utcnow())
