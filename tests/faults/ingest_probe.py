"""A probe of the ingest: how soon it answers while its broker is away, and how soon it recovers."""

import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from events.testing.stripe import checkout_session, sign, stripe_event, to_bytes

from tests.faults.rig import Rig
from tests.faults.stripe_ledger import Answer, SentEvent, StripeLedger

ANSWER_TIMEOUT_S = 20
RECOVERY_POLL_S = 0.05
HEALTH_POLL_S = 0.2


@dataclass
class IngestProbe:
    """Posts a few events of another shop's checkouts again and again and keeps a ledger of the answers."""

    rig: Rig
    event_count: int
    ledger: StripeLedger = field(default_factory=StripeLedger)

    def __post_init__(self) -> None:
        self._address = urlsplit(self.rig.system.urls["webhooks"])
        seeded = self.rig.new_random()
        self._bodies: list[tuple[SentEvent, bytes]] = []
        for _ in range(self.event_count):
            event_id = f"evt_{seeded.getrandbits(96):024x}"
            document = stripe_event("checkout.session.completed", checkout_session(None), event_id=event_id)
            sent = self.ledger.events[event_id] = SentEvent(event_id, document["type"])
            self._bodies.append((sent, to_bytes(document)))

    def post_many(self, count: int, at_once: int) -> list[tuple[int, float]]:
        """Post `count` times, a multiple of `at_once`, which post in parallel; return (status, seconds) of each."""
        numbers = itertools.count()

        def post_share(share: int) -> list[tuple[int, float]]:
            with closing(self._connect()) as connection:
                return [self._post(connection, next(numbers) % len(self._bodies)) for _ in range(share)]

        with ThreadPoolExecutor(at_once) as clients:
            return [answer for share in clients.map(post_share, [count // at_once] * at_once) for answer in share]

    def time_health_check(self) -> float:
        """Return the seconds until /healthz answered 200. Raises `AssertionError` for another answer."""
        began = time.monotonic()
        with closing(self._connect()) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        return time.monotonic() - began

    def time_recovery(self, within: float) -> float:
        """Post until the answer is 200 and return the seconds that it took. Raises `TimeoutError` after `within` s."""
        began, pause = time.monotonic(), threading.Event()
        with closing(self._connect()) as connection:
            while self._post(connection, 0)[0] != 200:
                if time.monotonic() - began > within:
                    log = self.rig.processes.log("webhooks", "web")[-1500:]
                    raise TimeoutError(f"the ingest has not recovered within {within:g} s: {log}")
                pause.wait(RECOVERY_POLL_S)
        return time.monotonic() - began

    def deliver_all(self) -> StripeLedger:
        """Post each event until it is answered 2xx, as Stripe does; return the ledger."""
        with closing(self._connect()) as connection:
            for number, (sent, _) in enumerate(self._bodies):
                while not sent.is_acknowledged:
                    self._post(connection, number)
        return self.ledger

    def memory_kb(self) -> int:
        """Return the resident memory of the ingest's processes in kB."""
        group = self.rig.processes.running["webhooks web"].pid
        return sum(
            int(line.split()[1])
            for status in Path("/proc").glob("[0-9]*/status")
            if _group(status.parent.name) == group
            for line in _lines(status)
            if line.startswith("VmRSS:")
        )

    def _connect(self) -> HTTPConnection:
        return HTTPConnection(str(self._address.hostname), self._address.port, timeout=ANSWER_TIMEOUT_S)

    def _post(self, connection: HTTPConnection, number: int) -> tuple[int, float]:
        sent, body = self._bodies[number]
        headers = {"Stripe-Signature": sign(body, self.rig.webhook_secret), "Content-Type": "application/json"}
        began = time.monotonic()
        connection.request("POST", "/webhooks/stripe", body, headers)
        response = connection.getresponse()
        response.read()
        sent.answers.append(Answer(response.status))
        return response.status, time.monotonic() - began


def start_health_checks(probe: IngestProbe, over: threading.Event) -> Callable[[], list[float]]:
    """Check the health again and again until `over` is set. The returned function waits and returns all times."""
    times: list[float] = []

    def check_repeatedly() -> None:
        while not over.is_set():
            times.append(probe.time_health_check())
            over.wait(HEALTH_POLL_S)

    thread = threading.Thread(target=check_repeatedly, name="health")
    thread.start()

    def result() -> list[float]:
        thread.join()
        return times

    return result


def _group(pid: str) -> int | None:
    try:
        return os.getpgid(int(pid))
    except ProcessLookupError:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # the process has just ended
        return []
