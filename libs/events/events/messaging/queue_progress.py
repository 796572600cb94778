"""Progress of a service's queue: the instant up to which its messages are handled."""

from collections.abc import Iterable
from datetime import datetime

from events.messaging.event import Event


class QueueProgress:
    """The instant up to which everything that came to the queue is handled, or stored for a retry."""

    def __init__(self) -> None:
        self.handled_until: datetime | None = None  # None until it is known
        self._keeps_order = True  # messages come in the order in which the ingest received their events

    def note_empty(self, since: datetime) -> None:
        """Record that the queue has been empty since this instant: all earlier messages are handled."""
        self._keeps_order = True
        self._advance([since])

    def note_handled(self, events: Iterable[Event]) -> None:
        """Record that these messages, the next ones of the queue, are handled."""
        if self._keeps_order:
            self._advance(at for event in events if (at := _received_at(event)))

    def note_released(self) -> None:
        """Record that messages went to the end of the queue. Until it is empty, `note_handled` changes nothing."""
        self._keeps_order = False

    def _advance(self, instants: Iterable[datetime]) -> None:
        known = [self.handled_until] if self.handled_until else []
        self.handled_until = max([*known, *instants], default=None)


def _received_at(event: Event) -> datetime | None:
    """Return when the ingest received one of Stripe's events, or None. Queues keep the order of these times."""
    try:
        return datetime.fromisoformat(event.headers["received_at"])
    except (KeyError, TypeError, ValueError):  # one of our own events, or a message that an operator made
        return None
