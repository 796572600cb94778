"""Wake-ups: a committed change wakes the threads and, on PostgreSQL, the processes that wait for its channel.

A transaction with NOTIFY holds a lock of the whole PostgreSQL cluster while it commits, so such commits happen one
after the other. Therefore each process notifies after its commits, in a transaction without changes (`Notifier`). If it
dies between commit and notification, the waiters find the change at their next poll.
"""

import atexit
import threading
import time
from collections.abc import Callable, Collection, Sequence

from prometheus_client import Counter
from psycopg import sql
from sqlalchemy import URL, Engine, func, select
from sqlalchemy.orm import Session

from events.database.connection import connect
from events.observability.logging import get_logger

LISTEN_CHECK_S = 2.0  # between a listener's checks whether to stop
LISTEN_PING_S = 10.0  # between its statements: a server that is gone sends nothing either
NOTIFY_PAUSE_S = 0.05  # between two notifications of a process; the first one is sent at once
FLUSH_TIMEOUT_S = 1.0  # at the end of a process; what is not sent then is found by the waiters' polls

log = get_logger(__name__)


class Signal:
    """A wake-up call between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Wake the waiting thread. If none waits, the next `wait` returns at once."""
        self._event.set()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for `set`; return True if it was called since the last wait."""
        woken = self._event.wait(timeout)
        self._event.clear()
        return woken


def wake_after_commit(session: Session, channel: str) -> None:
    """Wake the loops of this process that wait on a channel, once the transaction has committed."""
    session.info.setdefault("wake_channels", set()).add(channel)


def notify_after_commit(session: Session, channel: str) -> None:
    """Wake the waiters on a channel after the commit: here and, on PostgreSQL, in every process that listens."""
    wake_after_commit(session, channel)
    session.info.setdefault("notify_channels", set()).add(channel)


def increment_after_commit(session: Session, counter: Counter) -> None:
    """Increment a counter once the transaction has committed. After a rollback, it stays as it was."""
    session.info.setdefault("counters", []).append(counter)


def run_after_commit(session: Session, signal: Callable[[str], Signal], notify: Callable[[str], None]) -> None:
    """Send the wake-ups and increment the counters that a transaction collected. Call it after each commit."""
    if session.in_nested_transaction():
        return  # only a savepoint was released: no other session can see the change yet
    for channel in session.info.pop("wake_channels", ()):
        signal(channel).set()
    for channel in session.info.pop("notify_channels", ()):
        notify(channel)
    for counter in session.info.pop("counters", ()):
        counter.inc()


class Notifier:
    """A sender of PostgreSQL's NOTIFY on a separate thread, which lives only while there is something to send.

    However many commits there are, each channel gets at most one notification in `NOTIFY_PAUSE_S`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._channels: set[str] = set()
        self._is_running = self._is_sending = False

    def notify(self, channel: str) -> None:
        """Make the thread notify the processes that listen on a channel. Return without waiting for it."""
        with self._changed:
            self._channels.add(channel)
            if self._is_running:
                return
            self._is_running = True
        atexit.unregister(self.flush)  # a command ends right after its commit
        atexit.register(self.flush)
        threading.Thread(target=self._run, name="notify", daemon=True).start()

    def flush(self) -> None:
        """Wait until everything is sent, at most `FLUSH_TIMEOUT_S`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._channels and not self._is_sending, FLUSH_TIMEOUT_S)

    def close(self) -> None:
        """Wait as `flush` does. The engine can be disposed of afterwards."""
        self.flush()
        atexit.unregister(self.flush)

    def _run(self) -> None:
        while channels := self._take():
            try:
                self._send(channels)
            except Exception as error:  # noqa: BLE001 - after any error, the next notification is worth a try
                log.warning(
                    "NOTIFY failed: other processes find the changes at their next poll",
                    channels=channels,
                    error=str(error),
                )
            finally:
                with self._changed:
                    self._is_sending = False
                    self._changed.notify_all()
            time.sleep(NOTIFY_PAUSE_S)

    def _take(self) -> Collection[str]:
        with self._changed:
            channels, self._channels = sorted(self._channels), set()
            self._is_running = self._is_sending = bool(channels)
            return channels

    def _send(self, channels: Collection[str]) -> None:
        """Notify in separate transactions. Without other changes, their commits wait for no disk and no replica."""
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            for channel in channels:
                connection.execute(select(func.pg_notify(channel, "")))


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
