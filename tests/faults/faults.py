"""The faults: each a context manager that breaks something on entry and mends it on exit."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.e2e.processes import WITH_DATABASE
from tests.faults.bench import Bench

ALARM, NO_ALARM = "0.00001", "0.6"  # shares of the memory that the broker may use
WORKERS = [(service, "worker") for service in WITH_DATABASE]


@contextmanager
def frozen_broker(bench: Bench) -> Iterator[None]:
    bench.broker.freeze()
    try:
        yield
    finally:
        bench.broker.thaw()


@contextmanager
def killed_broker(bench: Bench) -> Iterator[None]:
    bench.broker.kill()
    try:
        yield
    finally:
        bench.broker.start()


@contextmanager
def memory_alarm(bench: Bench) -> Iterator[None]:
    """The broker blocks whoever publishes."""
    bench.broker.ctl("set_vm_memory_high_watermark", ALARM)
    try:
        yield
    finally:
        bench.broker.ctl("set_vm_memory_high_watermark", NO_ALARM)


@contextmanager
def cut_connections(bench: Bench) -> Iterator[None]:
    bench.proxy.cut()
    try:
        yield
    finally:
        bench.proxy.mend()


@contextmanager
def silent_network(bench: Bench) -> Iterator[None]:
    bench.proxy.swallow()
    try:
        yield
    finally:
        bench.proxy.mend()


@contextmanager
def restarted_database(bench: Bench) -> Iterator[None]:
    """PostgreSQL's fast shutdown, as an upgrade does it."""
    bench.postgres.stop()
    try:
        yield
    finally:
        bench.postgres.start()


@contextmanager
def killed_database(bench: Bench) -> Iterator[None]:
    bench.postgres.kill()
    try:
        yield
    finally:
        bench.postgres.start()


@contextmanager
def no_mail_server(bench: Bench) -> Iterator[None]:
    bench.system.mailbox.stop()
    try:
        yield
    finally:
        bench.system.mailbox.start()


def killed(processes: Sequence[tuple[str, str]], pauses: tuple[float, float]) -> "Break":
    """SIGKILL at seeded random moments to one of the processes after the other, each started again at once."""

    @contextmanager
    def breaking(bench: Bench) -> Iterator[None]:
        chance, over = bench.chance(), threading.Event()

        def strike() -> None:
            while True:
                victim = chance.choice(processes)
                bench.kill(*victim)
                bench.start(*victim)
                if over.wait(chance.uniform(*pauses)):
                    return

        thread = threading.Thread(target=strike, name="striker")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return breaking


Break = Callable[[Bench], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """How long it lasts: in the short form, and between which bounds in the long one (seconds)."""

    name: str
    strike: Break
    short: float
    long: tuple[float, float]

    def lasts(self, chance: random.Random) -> float:
        return chance.uniform(*self.long)


BRIEF = ("broker killed (SIGKILL)", "PostgreSQL killed (SIGKILL)", "workers killed at random moments")
FAULTS = (
    Fault("broker frozen (SIGSTOP)", frozen_broker, 6, (5, 20)),
    Fault("broker killed (SIGKILL)", killed_broker, 0.5, (0.5, 5)),
    Fault("broker's memory alarm", memory_alarm, 4, (5, 15)),
    Fault("broker's connections cut, new ones refused", cut_connections, 3, (1, 10)),
    Fault("broker unreachable in silence", silent_network, 5, (5, 20)),
    Fault("PostgreSQL restarted", restarted_database, 1, (0.5, 10)),
    Fault("PostgreSQL killed (SIGKILL)", killed_database, 1, (0.5, 10)),
    Fault("workers killed at random moments", killed(WORKERS, (0.5, 1.5)), 5, (5, 15)),
    Fault("ingest killed at random moments", killed([("webhooks", "web")], (1.5, 3)), 4, (5, 10)),
    Fault("mail server down", no_mail_server, 2, (1, 10)),
)
