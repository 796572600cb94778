"""The relay: publishes the outbox and marks exactly the rows that the broker confirmed."""

from concurrent.futures import Future
from datetime import datetime

from prometheus_client import Counter

from events.database.engine import Database
from events.errors import PublishUnconfirmedError
from events.messaging import outbox
from events.messaging.publisher import Publisher

RELAYED = Counter("clozit_outbox_relayed_total", "Outbox events confirmed by the broker")


class Relay:
    """A publisher of outbox rows. Several relays may run in parallel: each claims rows that no other has claimed.

    No transaction is open while a relay waits for the broker. Rows of a relay that died, and unconfirmed rows, are
    published again after their lease. The consumers' inboxes make that harmless.
    """

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher
        self._has_failed = False

    def run_once(self) -> int:
        """Claim rows, publish them all before waiting for the confirms, and return the number of confirmed rows.

        If the broker left some rows unconfirmed, marks the confirmed ones and raises `PublishUnconfirmedError`. While
        the broker is away, the next call raises it again and claims nothing. Otherwise that call claims the newest rows
        first: rows for a queue that accepts no messages must not block all others.
        """
        if self._has_failed:
            self._publisher.check()  # while the broker is away, nothing is claimed
        with self._database.begin() as session:
            rows = outbox.claim(session, newest_first=self._has_failed)
        if not rows:
            return 0
        futures = [self._publisher.publish(row.event()) for row in rows]
        failure: PublishUnconfirmedError | None = None
        try:
            self._publisher.wait(*futures)  # one deadline for all, shorter than the lease
        except PublishUnconfirmedError as error:
            failure = error
        self._has_failed = failure is not None
        confirmed = [row.event_id for row, future in zip(rows, futures, strict=True) if _is_confirmed(future)]
        if confirmed:
            with self._database.begin() as session:
                outbox.mark_published(session, confirmed)
        RELAYED.inc(len(confirmed))
        if failure:
            raise failure
        return len(confirmed)

    def drain(self) -> int:
        """Publish until no row is left to claim, and return the number of confirmed rows. Raises as `run_once` does."""
        published = 0
        while count := self.run_once():
            published += count
        return published

    def prune(self, now: datetime) -> int:
        """Delete rows that were published more than `outbox.RETENTION` ago, and return their number."""
        return outbox.prune(self._database, now - outbox.RETENTION)


def _is_confirmed(future: "Future[None]") -> bool:
    return future.done() and future.exception() is None
