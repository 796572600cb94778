"""Which function of a service acts on which event."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.orm import Session

from events.envelope import Event
from events.errors import Ignored

Handler = Callable[[Event, Session], None]
Preparation = Callable[[Sequence[Event], Session], None]

NO_HANDLER = "no handler for such events"


class Handlers:
    """A service's registry: routing key → handlers, run in the order of their definition.

    Handlers work within the runner's transaction: they never commit, ack, publish or touch the network.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, list[Handler]] = {}
        self._unblocking: set[str] = set()
        self._preparations: list[Preparation] = []

    def on(self, *routing_keys: str, unblocks: bool = False) -> Callable[[Handler], Handler]:
        """Register a handler. `unblocks`: once it succeeds, what waits for the same checkout is due at once."""

        def register(handler: Handler) -> Handler:
            for key in routing_keys:
                self._by_key.setdefault(key, []).append(handler)
                if unblocks:
                    self._unblocking.add(key)
            return handler

        return register

    def prepare(self, preparation: Preparation) -> Preparation:
        """Register what comes before the handlers of a transaction's events: lock what they will ask for, all at once
        (batch.py). It spares queries, and keeps transactions from waiting for each other.
        """
        self._preparations.append(preparation)
        return preparation

    def ready(self, events: Sequence[Event], session: Session) -> None:
        """Run the preparations."""
        for preparation in self._preparations:
            preparation(events, session)

    @property
    def keys(self) -> Iterable[str]:
        return self._by_key.keys()

    def knows(self, event: Event) -> bool:
        """Whether there is a handler for such events."""
        return event.routing_key in self._by_key

    def unblocks(self, event: Event) -> bool:
        return event.routing_key in self._unblocking

    def run(self, event: Event, session: Session) -> None:
        """Run the event's handlers. Raises `Ignored` where there is none, and whatever a handler raises."""
        if not self.knows(event):
            raise Ignored(NO_HANDLER)
        for handler in self._by_key[event.routing_key]:
            handler(event, session)
