"""The registry of a service's event handlers."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.orm import Session

from events.errors import Ignored, NoHandler
from events.messaging.event import Event

Handler = Callable[[Event, Session], None]
Preparation = Callable[[Sequence[Event], Session], None]

NO_HANDLER = "no handler for such events"
NOT_NEEDED = "this service does not need such events"


class Handlers:
    """A map of routing keys to handlers, which run in the order of their definition.

    Handlers work within the runner's transaction: they never commit, ack, publish or touch the network.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, list[Handler]] = {}
        self._unblocking: set[str] = set()
        self._not_needed: set[str] = set()
        self._preparations: list[Preparation] = []

    def on(self, *routing_keys: str, unblocks: bool = False) -> Callable[[Handler], Handler]:
        """Register a handler. With `unblocks`, its success makes the waiting events of the same checkout due."""

        def register(handler: Handler) -> Handler:
            for key in routing_keys:
                self._by_key.setdefault(key, []).append(handler)
                if unblocks:
                    self._unblocking.add(key)
            return handler

        return register

    def ignore(self, *routing_keys: str) -> None:
        """Register events that the service knows and does not need: they are ignored, and their payload is not kept."""
        self._not_needed.update(routing_keys)

    def without(self, *routing_keys: str) -> "Handlers":
        """Return a copy of these handlers for which events with these routing keys are not needed."""
        kept = Handlers()
        kept._by_key = {key: found for key, found in self._by_key.items() if key not in routing_keys}
        kept._unblocking = self._unblocking - {*routing_keys}
        kept._not_needed = self._not_needed | {*routing_keys}
        kept._preparations = list(self._preparations)
        return kept

    def prepare(self, preparation: Preparation) -> Preparation:
        """Register a function that runs before the handlers of a transaction's events, with all of these events.

        It locks the rows that the handlers will use, in one order and with few queries (transaction.py).
        """
        self._preparations.append(preparation)
        return preparation

    def run_preparations(self, events: Sequence[Event], session: Session) -> None:
        """Run the preparations for all events of a transaction."""
        for preparation in self._preparations:
            preparation(events, session)

    @property
    def keys(self) -> Iterable[str]:
        """The routing keys that have a handler."""
        return self._by_key.keys()

    def has_handler(self, event: Event) -> bool:
        """Return True if a handler is registered for this event's routing key."""
        return event.routing_key in self._by_key

    def is_needed(self, event: Event) -> bool:
        """Return False if the service has registered this event's routing key as not needed."""
        return event.routing_key not in self._not_needed

    def unblocks(self, event: Event) -> bool:
        """Return True if other events may wait for this one."""
        return event.routing_key in self._unblocking

    def run(self, event: Event, session: Session) -> None:
        """Run the event's handlers, and raise their errors.

        Raises `Ignored` if the service does not need the event, and `NoHandler` if the event has no handler.
        """
        if not self.is_needed(event):
            raise Ignored(NOT_NEEDED)
        if not self.has_handler(event):
            raise NoHandler(NO_HANDLER)
        for handler in self._by_key[event.routing_key]:
            handler(event, session)
