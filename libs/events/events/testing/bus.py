"""A bus without a broker: delivers events to services by the real topology, through the real runner and inbox."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import inspect, select

from events.clock import utcnow
from events.database.engine import Database
from events.messaging import outbox, topology
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import Runner

RETRY_AHEAD = timedelta(seconds=2)  # events that wait for a cause are due after one second, failed ones after five


def deliver(database: Database, handlers: Handlers, event: Event) -> str:
    """Deliver one event to a service and return its outcome: done, duplicate, ignored, waiting or retrying."""
    return Runner(database, handlers).handle_one(event)


def outbox_events(database: Database) -> list[Event]:
    """Return all events of a service's outbox, in the order of their ids."""
    with database.read() as session:
        return [row.event() for row in session.scalars(select(OutboxEvent).order_by(OutboxEvent.event_id))]


class Bus:
    """Several services joined by the real topology, in one thread."""

    def __init__(self, services: Mapping[str, tuple[Database, Handlers]]) -> None:
        self._services = services

    def publish(self, event: Event) -> dict[str, str]:
        """Deliver an event to each service whose queue is bound to it and return the outcome by service."""
        receivers = [name for name in topology.queues_for(event.routing_key) if name in self._services]
        return {name: deliver(*self._services[name], event) for name in receivers}

    def run_until_idle(self) -> None:
        """Relay the outboxes and retry the events that are due within `RETRY_AHEAD`, until no such event is left."""
        later = utcnow() + RETRY_AHEAD
        while self._relay() or any(Runner(*service).retry_due(later) for service in self._services.values()):
            pass

    def _relay(self) -> int:
        relayed = 0
        for database, _ in self._services.values():
            if not inspect(database.engine).has_table(OutboxEvent.__tablename__):
                continue
            with database.begin() as session:
                rows = outbox.claim(session)
                events = [row.event() for row in rows]
                outbox.mark_published(session, [event.id for event in events])
            for event in events:
                self.publish(event)
            relayed += len(events)
        return relayed
