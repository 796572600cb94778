"""Metrics of unfinished work, read from the database at each scrape, each by one query that an index answers.

The web process and the worker of a service report the same numbers: use their maximum, not their sum. Attempts
to handle events are counted when they end (`clozit_events_handled_total`).
"""

from abc import abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from events.clock import utcnow
from events.database.engine import Database
from events.database.errors import is_away
from events.messaging.inbox import is_paused
from events.messaging.inbox_models import UNFINISHED, InboxEvent
from events.messaging.outbox import OutboxEvent
from events.observability.logging import get_logger

log = get_logger(__name__)


class InboxBacklog(Collector):
    """The number of unfinished inbox events by status, and the seconds since the oldest of each status arrived.

    It also says if an operator has paused the service's consumers.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values, so that registering them needs no database."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics by status; none while the database is away or too busy."""
        unfinished = (
            select(InboxEvent.status, func.count(), func.min(InboxEvent.received_at))
            .where(InboxEvent.status.in_(UNFINISHED))
            .group_by(InboxEvent.status)
        )
        found: dict[str, tuple[int, datetime | None]] = dict.fromkeys(UNFINISHED, (0, None))
        try:
            with self._database.read() as session:
                found |= {status: (count, oldest) for status, count, oldest in session.execute(unfinished)}
                paused = is_paused(session)
        except (DBAPIError, PoolTimeoutError) as error:
            return unknown(error)
        rows, ages, pause = self._families()
        for status, (count, oldest) in found.items():
            rows.add_metric([status], count)
            ages.add_metric([status], age_s(oldest))
        pause.add_metric([], paused)
        return [rows, ages, pause]

    def _families(self) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily("clozit_inbox_events", "Unfinished inbox events", labels=["status"]),
            GaugeMetricFamily(
                "clozit_inbox_oldest_age_seconds", "Age of the oldest unfinished inbox event", labels=["status"]
            ),
            GaugeMetricFamily("clozit_consumer_paused", "1 while an operator has paused the consumers", labels=[]),
        ]


class Backlog(Collector):
    """The number of rows that wait, and the age of the oldest in seconds.

    A subclass names both metrics and selects the two values.
    """

    rows: tuple[str, str]  # name and description
    age: tuple[str, str]

    def __init__(self, database: Database) -> None:
        self._database = database

    @abstractmethod
    def select(self) -> Select[int, Any]:
        """Return the query of the number of rows and the time at which the oldest began to wait."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values, so that registering them needs no database."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics; none while the database is away or too busy."""
        try:
            with self._database.read() as session:
                count, oldest = session.execute(self.select()).one()
        except (DBAPIError, PoolTimeoutError) as error:
            return unknown(error)
        return self._families(count, age_s(oldest))

    def _families(self, count: float | None = None, age: float | None = None) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily(*self.rows, count), GaugeMetricFamily(*self.age, age)]


class OutboxBacklog(Backlog):
    """The number of outbox events that the broker has not confirmed, and the seconds since the oldest occurred."""

    rows = ("clozit_outbox_unpublished_events", "Outbox events that are not confirmed yet")
    age = ("clozit_outbox_oldest_age_seconds", "Age of the oldest unpublished outbox event")

    def select(self) -> Select[int, Any]:
        """Return the query of the number of unpublished events and the time of the oldest."""
        return select(func.count(), func.min(OutboxEvent.occurred_at)).where(OutboxEvent.published_at.is_(None))


def age_s(oldest: datetime | None) -> float:
    """Return the seconds since an instant; 0 without one."""
    return max(0.0, (utcnow() - oldest).total_seconds()) if oldest else 0.0


def unknown(error: DBAPIError | PoolTimeoutError) -> list[GaugeMetricFamily]:
    """Return an empty list if the error means that the database is away or too busy, else raise the error.

    Collectors call it, so that the other metrics can still be scraped.
    """
    if not isinstance(error, PoolTimeoutError) and not is_away(error):
        raise error
    log.warning("database away or too busy, this scrape has no backlog metrics", error=str(error))
    return []
