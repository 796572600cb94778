"""Delivering events to services without a broker: the real runner, the real topology."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select

from events.clock import utcnow
from events.database.engine import Database
from events.messaging import outbox, topology
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import Runner


def deliver(database: Database, handlers: Handlers, event: Event) -> str:
    """Hand one event to a service, through its real inbox; its outcome: done, seen, ignored, waiting, retrying …"""
    return Runner(database, handlers).handle_one(event)


def outbox_events(database: Database) -> list[Event]:
    """All that a service promised to publish, oldest first."""
    with database.read() as session:
        return [row.event() for row in session.scalars(select(OutboxEvent).order_by(OutboxEvent.event_id))]


class Bus:
    """Services joined by the real topology, in one thread. `settle` goes on until nothing moves."""

    def __init__(self, services: Mapping[str, tuple[Database, Handlers]]) -> None:
        self._services = services

    def publish(self, event: Event) -> dict[str, str]:
        """Deliver to every service whose queue is bound; what each made of it."""
        reached = [name for name in topology.queues_for(event.routing_key) if name in self._services]
        return {name: deliver(*self._services[name], event) for name in reached}

    def settle(self) -> None:
        """Relay the outboxes, and retry what waits as if its time had come, until all is quiet."""
        later = utcnow() + timedelta(seconds=2)
        while self._relay() or any(Runner(*service).retry_due(later) for service in self._services.values()):
            pass

    def _relay(self) -> int:
        relayed = 0
        for database, _ in self._services.values():
            if "outbox" not in _tables(database):
                continue
            with database.begin() as session:
                rows = outbox.claim(session)
                events = [row.event() for row in rows]
                outbox.mark_published(session, [event.id for event in events])
            for event in events:
                self.publish(event)
            relayed += len(events)
        return relayed


def _tables(database: Database) -> list[str]:
    from sqlalchemy import inspect

    return inspect(database.engine).get_table_names()
