"""The faults: each is a context manager that breaks something on entry and repairs it on exit."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
from events.testing.waiting import wait_until

from tests.e2e.processes import WITH_DATABASE
from tests.faults.rig import Rig

ALARM_WATERMARK, NORMAL_WATERMARK = "0.00001", "0.6"  # shares of the memory that the broker may use
SHORT_CONSUMER_TIMEOUT_MS = 10_000  # the hold limit, the batch before it and a busy machine need less
WORKERS = [(service, "worker") for service in WITH_DATABASE]

Break = Callable[[Rig], AbstractContextManager[None]]


@contextmanager
def frozen_broker(rig: Rig) -> Iterator[None]:
    rig.broker.freeze()
    try:
        yield
    finally:
        rig.broker.thaw()


@contextmanager
def killed_broker(rig: Rig) -> Iterator[None]:
    rig.broker.kill()
    try:
        yield
    finally:
        rig.broker.start()


@contextmanager
def memory_alarm(rig: Rig) -> Iterator[None]:
    """Raise the broker's memory alarm, in which it blocks every publisher."""
    rig.broker.ctl("set_vm_memory_high_watermark", ALARM_WATERMARK)
    try:
        yield
    finally:
        rig.broker.ctl("set_vm_memory_high_watermark", NORMAL_WATERMARK)


@contextmanager
def cut_connections(rig: Rig) -> Iterator[None]:
    rig.proxy.cut()
    try:
        yield
    finally:
        rig.proxy.restore()


@contextmanager
def silent_network(rig: Rig) -> Iterator[None]:
    rig.proxy.silence()
    try:
        yield
    finally:
        rig.proxy.restore()


@contextmanager
def restarted_database(rig: Rig) -> Iterator[None]:
    """Stop PostgreSQL by its fast shutdown, as an upgrade does."""
    rig.postgres.stop()
    try:
        yield
    finally:
        rig.postgres.start()


@contextmanager
def killed_database(rig: Rig) -> Iterator[None]:
    rig.postgres.kill()
    try:
        yield
    finally:
        rig.postgres.start()


@contextmanager
def frozen_database(rig: Rig) -> Iterator[None]:
    rig.postgres.freeze()
    try:
        yield
    finally:
        rig.postgres.thaw()


@contextmanager
def silent_network_to_database(rig: Rig) -> Iterator[None]:
    rig.database_proxy.silence()
    try:
        yield
    finally:
        rig.database_proxy.restore()


@contextmanager
def lost_worker_hosts(rig: Rig) -> Iterator[None]:
    """Lose every worker's host within a transaction: PostgreSQL still has their database sessions.

    These sessions keep their locks until PostgreSQL ends them.
    """
    rig.database_proxy.swallow_ends()
    try:
        for worker in WORKERS:
            rig.restart(*worker, CRASH_AT="event handled, not committed")
        for worker in WORKERS:
            wait_until(partial(rig.processes.has_ended, *worker), what=f"the loss of {worker}")
            rig.processes.wait(*worker)
            rig.start(*worker)
        yield
    finally:
        rig.database_proxy.restore()


@contextmanager
def read_only_database(rig: Rig) -> Iterator[None]:
    """Make PostgreSQL read-only for old and new database sessions, as a primary that has become a replica."""
    _set_in_postgres(rig, "default_transaction_read_only = on")
    try:
        yield
    finally:
        _set_in_postgres(rig, "default_transaction_read_only = off")


def _set_in_postgres(rig: Rig, setting: str) -> None:
    with psycopg.connect(rig.postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def consumer_timeout(rig: Rig) -> Iterator[None]:
    """Stop PostgreSQL for longer than the broker lets a consumer hold a message. No delivery may be used up."""
    _set_in_rabbitmq(rig, consumer_timeout=SHORT_CONSUMER_TIMEOUT_MS, channel_tick_interval=500)
    for worker in WORKERS:
        rig.restart(*worker, HOLD_LIMIT_S="1")
    wait_until(lambda: rig.consumer_counts() == {1}, what="the consumers")
    if not rig.has_backlog:
        wait_until(rig.is_idle, what="the messages that the kills have returned")
    rig.postgres.stop()
    try:
        yield
        wait_until(lambda: rig.held_messages() == 0, what="the release of all messages")
        if not rig.has_backlog:
            assert rig.deliveries_used() == 0
    finally:
        rig.postgres.start()
        _set_in_rabbitmq(rig, consumer_timeout=1_800_000, channel_tick_interval=60_000)  # its defaults
        for worker in WORKERS:
            rig.restart(*worker)


def _set_in_rabbitmq(rig: Rig, **settings: int) -> None:
    for name, value in settings.items():
        rig.broker.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")


@contextmanager
def paused_services(rig: Rig) -> Iterator[None]:
    """Pause all services and cut their connections to the broker: they must take nothing when they reconnect."""
    rig.set_paused(True)
    try:
        wait_until(lambda: rig.consumer_counts() == {0}, what="the pause")
        received = rig.received()
        rig.proxy.cut()
        rig.proxy.restore()
        for worker in WORKERS:
            rig.restart(*worker)
        yield
        assert rig.received() == received
    finally:
        rig.set_paused(False)


@contextmanager
def stopped_mail_server(rig: Rig) -> Iterator[None]:
    rig.mail_counter.stop()
    try:
        yield
    finally:
        rig.mail_counter.start()


def killed(processes: Sequence[tuple[str, str]], pause_range_s: tuple[float, float]) -> Break:
    """Return a fault that kills and restarts one of the processes again and again, at seeded random moments."""

    @contextmanager
    def break_rig(rig: Rig) -> Iterator[None]:
        seeded, over = rig.new_random(), threading.Event()

        def kill_repeatedly() -> None:
            while True:
                rig.restart(*seeded.choice(processes))
                if over.wait(seeded.uniform(*pause_range_s)):
                    return

        thread = threading.Thread(target=kill_repeatedly, name="killer")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return break_rig


@dataclass(frozen=True)
class Fault:
    """One fault, with its duration in the short tests and the range of its durations in the long run (seconds)."""

    name: str
    inject: Break
    short_s: float
    long_range_s: tuple[float, float]

    def random_duration_s(self, seeded: random.Random) -> float:
        """Return a duration for the long run."""
        return seeded.uniform(*self.long_range_s)


IN_EVERY_TEST_RUN = ("broker killed (SIGKILL)", "PostgreSQL killed (SIGKILL)", "workers killed at random moments")
FAULTS = (
    Fault("broker frozen (SIGSTOP)", frozen_broker, 6, (5, 20)),
    Fault("broker killed (SIGKILL)", killed_broker, 0.5, (0.5, 5)),
    Fault("broker's memory alarm", memory_alarm, 4, (5, 15)),
    Fault("broker's connections cut, new ones refused", cut_connections, 3, (1, 10)),
    Fault("network to the broker silent", silent_network, 5, (5, 20)),
    Fault("PostgreSQL restarted", restarted_database, 1, (0.5, 10)),
    Fault("PostgreSQL killed (SIGKILL)", killed_database, 1, (0.5, 10)),
    Fault("PostgreSQL frozen (SIGSTOP)", frozen_database, 30, (5, 35)),
    Fault("network to PostgreSQL silent", silent_network_to_database, 30, (5, 35)),
    Fault("PostgreSQL read-only after a failover", read_only_database, 5, (2, 10)),
    Fault("workers' hosts lost in their transactions", lost_worker_hosts, 1, (1, 5)),
    Fault("database away for a consumer timeout", consumer_timeout, 15, (12, 20)),
    Fault("services paused, reconnected and restarted", paused_services, 3, (2, 10)),
    Fault("workers killed at random moments", killed(WORKERS, (0.5, 1.5)), 5, (5, 15)),
    Fault("ingest killed at random moments", killed([("webhooks", "web")], (1.5, 3)), 4, (5, 10)),
    Fault("mail server down", stopped_mail_server, 2, (1, 10)),
)
