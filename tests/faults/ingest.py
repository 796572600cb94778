"""What Stripe feels of the ingest while its broker is away: how soon it says no, and how soon it is back."""

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

from tests.faults.bench import Bench
from tests.faults.ledger import Answer, Ledger, Sent

TIMEOUT = 20  # seconds for an answer
ASK_AGAIN = 0.05  # seconds between posts while waiting for the broker's return


@dataclass
class Probe:
    """Posts a few events of other people's checkouts again and again, and keeps the ledger of their answers."""

    bench: Bench
    events: int
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self._address = urlsplit(self.bench.system.urls["webhooks"])
        self._secret = self.bench.system.stripe.account.webhooks.endpoints[0].secret
        chance = self.bench.chance()
        self._bodies: list[tuple[Sent, bytes]] = []
        for _ in range(self.events):
            event_id = f"evt_{chance.getrandbits(96):024x}"
            document = stripe_event("checkout.session.completed", checkout_session(None), event_id=event_id)
            sent = self.ledger.events[event_id] = Sent(event_id, document["type"])
            self._bodies.append((sent, to_bytes(document)))

    def flood(self, posts: int, at_once: int) -> list[tuple[int, float]]:
        """(status, seconds) of so many posts, `at_once` of them at any time."""
        numbers = itertools.count()

        def client(share: int) -> list[tuple[int, float]]:
            with closing(self._connect()) as connection:
                return [self._post(connection, next(numbers) % len(self._bodies)) for _ in range(share)]

        with ThreadPoolExecutor(at_once) as clients:
            return [answer for share in clients.map(client, [posts // at_once] * at_once) for answer in share]

    def pulse(self) -> float:
        """Seconds until /healthz said that the ingest is well."""
        began = time.monotonic()
        with closing(self._connect()) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        return time.monotonic() - began

    def back(self, within: float) -> float:
        """Seconds until a post is answered 200. Raises `TimeoutError`."""
        began, pause = time.monotonic(), threading.Event()
        with closing(self._connect()) as connection:
            while self._post(connection, 0)[0] != 200:
                if time.monotonic() - began > within:
                    log = self.bench.fleet.log("webhooks", "web")[-1500:]
                    raise TimeoutError(f"the ingest is not back within {within:g} s: {log}")
                pause.wait(ASK_AGAIN)
        return time.monotonic() - began

    def deliver(self) -> Ledger:
        """Post all until each has been answered 2xx, as Stripe does; the ledger."""
        with closing(self._connect()) as connection:
            for number, (sent, _) in enumerate(self._bodies):
                while not sent.acknowledged:
                    self._post(connection, number)
        return self.ledger

    def memory(self) -> int:
        """What the ingest's processes hold in memory, in kB."""
        group = self.bench.fleet.processes["webhooks web"].pid
        return sum(
            int(line.split()[1])
            for status in Path("/proc").glob("[0-9]*/status")
            if _group(status.parent.name) == group
            for line in _lines(status)
            if line.startswith("VmRSS:")
        )

    def _connect(self) -> HTTPConnection:
        return HTTPConnection(str(self._address.hostname), self._address.port, timeout=TIMEOUT)

    def _post(self, connection: HTTPConnection, number: int) -> tuple[int, float]:
        sent, body = self._bodies[number]
        headers = {"Stripe-Signature": sign(body, self._secret), "Content-Type": "application/json"}
        began = time.monotonic()
        connection.request("POST", "/webhooks/stripe", body, headers)
        response = connection.getresponse()
        response.read()
        sent.answers.append(Answer(response.status))
        return response.status, time.monotonic() - began


def pulses(probe: Probe, over: threading.Event, every: float = 0.2) -> Callable[[], list[float]]:
    """Take the pulse again and again until `over` is set; call the result for what was measured."""
    taken: list[float] = []

    def take() -> None:
        while not over.is_set():
            taken.append(probe.pulse())
            over.wait(every)

    thread = threading.Thread(target=take, name="pulse")
    thread.start()

    def result() -> list[float]:
        thread.join()
        return taken

    return result


def _group(pid: str) -> int | None:
    try:
        return os.getpgid(int(pid))
    except ProcessLookupError:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # it has just ended
        return []
