"""The relay: publishes what the outbox promises, and marks exactly what the broker confirmed."""

from datetime import datetime

from prometheus_client import Counter

from events import outbox
from events.database import Database
from events.errors import Unpublished
from events.publisher import Publisher

RELAYED = Counter("clozit_outbox_published_total", "Outbox events confirmed by the broker")


class Relay:
    """Several may run at once: each claims rows that no other has in hand.

    A crash after the confirm and before the commit publishes again; the consumers' inboxes make that harmless.
    """

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher

    def run_once(self) -> int:
        """One claim, pipelined: how many were published. Raises `Unpublished` when the broker left some unconfirmed."""
        with self._database.begin() as session:
            rows = outbox.claim(session)
            futures = [(row.event_id, self._publisher.publish(row.event())) for row in rows]
            confirmed, doubts = [], []
            for event_id, future in futures:
                try:
                    self._publisher.wait(future)
                    confirmed.append(event_id)
                except Unpublished as doubt:
                    doubts.append(doubt)
            if confirmed:
                outbox.mark_published(session, confirmed)
        RELAYED.inc(len(confirmed))
        if doubts:
            raise doubts[0]
        return len(confirmed)

    def drain(self) -> int:
        """Publish until the outbox is empty; how many."""
        published = 0
        while count := self.run_once():
            published += count
        return published

    def prune(self, now: datetime) -> int:
        with self._database.begin() as session:
            return outbox.prune(session, now - outbox.KEPT)
