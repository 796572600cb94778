"""Wake-ups: a committed change wakes the threads and, on PostgreSQL, the processes that wait for its channel."""

import threading
import time
from collections.abc import Callable, Sequence

from prometheus_client import Counter
from psycopg import sql
from sqlalchemy import URL, func, select
from sqlalchemy.orm import Session

from events.database.connection import connect

LISTEN_CHECK_S = 2.0  # between a listener's checks whether to stop
LISTEN_PING_S = 10.0  # between its statements: a server that is gone sends nothing either


class Signal:
    """A wake-up call between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Wake the thread that waits, or the next one that will."""
        self._event.set()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for `set`; return True if it was called since the last wait."""
        woken = self._event.wait(timeout)
        self._event.clear()
        return woken


def wake_after_commit(session: Session, channel: str) -> None:
    """Wake this process's waiters on a channel once the transaction has committed."""
    session.info.setdefault("wake_channels", set()).add(channel)


def notify_after_commit(session: Session, channel: str) -> None:
    """Wake the waiters on a channel after the commit: here and, on PostgreSQL, in every process that listens."""
    wake_after_commit(session, channel)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(channel, "")))


def increment_after_commit(session: Session, counter: Counter) -> None:
    """Increment a counter once the transaction has committed: a rollback must not be counted."""
    session.info.setdefault("counters", []).append(counter)


def run_after_commit(session: Session, signal: Callable[[str], Signal]) -> None:
    """Send the wake-ups and count the counters that the committed transaction collected."""
    if session.in_nested_transaction():
        return  # only a savepoint was released: no other session can see the change yet
    for channel in session.info.pop("wake_channels", ()):
        signal(channel).set()
    for counter in session.info.pop("counters", ()):
        counter.inc()


def listen(url: URL, channels: Sequence[str], signal: Callable[[str], Signal], should_stop: Callable[[], bool]) -> None:
    """Pass PostgreSQL's notifications on to this process's signals until `should_stop`.

    Raises psycopg's errors when the connection breaks or the server does not answer. Every channel is signaled once at
    the start, because notifications that came before LISTEN are lost.
    """
    with connect(url) as connection:
        for channel in channels:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            signal(channel).set()
        pinged_at = time.monotonic()
        while not should_stop():
            for notification in connection.notifies(timeout=LISTEN_CHECK_S, stop_after=1):
                signal(notification.channel).set()
            if time.monotonic() - pinged_at > LISTEN_PING_S:
                connection.execute("SELECT 1")
                pinged_at = time.monotonic()
