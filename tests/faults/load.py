"""A source of events that behaves as Stripe does, and is fast enough for a hundred thousand of them.

Signs each attempt, posts several at once and in any order, sends some twice and describes some changes by two
Events, tries every event again until it is answered 2xx, and keeps a ledger.
"""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from urllib.parse import urlsplit

from events.database.errors import is_away
from events.testing.servers import wait_until
from events.testing.stripe import sign, stripe_event, to_bytes

from tests.faults.ledger import Answer, Ledger, Purchase, Sent
from tests.faults.shop import Shop, events_of

CLIENTS = 8
BACKOFF = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds; the last one repeats. Stripe's are minutes and hours
TIMEOUT = 10.0  # seconds for an answer
SPREAD = 1.0  # seconds within which a purchase's events are posted
EARLY_BY = 1.0  # seconds that an announcement waits for an early event to be posted; no fault is waited for
BATCH = 5  # purchases that are started in one go
OUTSTANDING = 2_000  # unanswered events; the shop waits then, as customers would
DOUBLED, TWINNED, EARLY = 0.03, 0.02, 0.2  # shares: sent twice; a second Event; before its checkout is announced


class Load:
    """Plays `count` purchases at `rate` a second, from `start` until everything is delivered (`wait`)."""

    def __init__(
        self,
        url: str,
        secret: str,
        shop: Shop,
        *,
        count: int,
        rate: float,
        seed: int,
        doubled: float = DOUBLED,
        twinned: float = TWINNED,
        early: float = EARLY,
    ) -> None:
        self.ledger = Ledger()
        self._address = urlsplit(url)
        self._secret, self._shop, self._count, self._rate = secret, shop, count, rate
        self._doubled, self._twinned, self._early = doubled, twinned, early
        self._chance = random.Random(seed)
        self._due: list[tuple[float, int, int, Sent, bytes]] = []  # when, tie-breaker, failures so far
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._outstanding = 0
        self._newest: list[Sent] = []
        self._all_started, self._over = threading.Event(), False
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(run,), name=f"load-{run.__name__}", daemon=True)
            for run in (self._sell, *[self._deliver] * CLIENTS)
        ]

    def __enter__(self) -> "Load":
        self.began = time.time()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(TIMEOUT + 5)

    @property
    def acknowledged(self) -> int:
        """How many events so far."""
        self.sound()
        return sum(sent.acknowledged for sent in list(self.ledger.events.values()))

    def sound(self) -> bool:
        """True, or raises what ended one of the threads."""
        if self._failure:
            raise self._failure
        return True

    def wait(self, within: float) -> None:
        """Until every event has been answered 2xx. Raises `TimeoutError` when none was for `within` seconds.

        Or what ended one of the threads.
        """
        wait_until(self.is_done, within, "the last delivery", progress=lambda: (self._outstanding, self._failure))
        self.sound()

    def is_done(self) -> bool:
        with self._changed:
            return self._is_done()

    def _is_done(self) -> bool:
        return self._failure is not None or (self._all_started.is_set() and not self._outstanding)

    def _guard(self, run: object) -> None:
        try:
            run()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _sell(self) -> None:
        began = time.monotonic()
        for first in range(0, self._count, BATCH):
            self._pause(until=began + first / self._rate)
            batch = [self._shop.choose() for _ in range(min(BATCH, self._count - first))]
            started = [purchase for purchase, _ in batch]
            early = [chosen for chosen in batch if self._chance.random() < self._early]
            self._do(self._shop.reserve, started)
            for chosen in early:
                self._send_all(*chosen, spread=0.0)
            if early:
                self._let_one_arrive()
            self._do(self._shop.announce, started)
            self.ledger.purchases += started
            for chosen in batch:
                if chosen not in early:
                    self._send_all(*chosen)
        with self._changed:
            self._all_started.set()
            self._changed.notify_all()

    def _do(self, step: Callable[[Sequence[Purchase]], None], purchases: Sequence[Purchase]) -> None:
        """Until the databases that it needs are there."""
        while not self._over:
            try:
                step(purchases)
            except Exception as error:
                if not is_away(error):
                    raise
                self._pause(until=time.monotonic() + BACKOFF[0])
            else:
                return

    def _pause(self, until: float) -> None:
        with self._changed:
            while not self._over:
                left = until - time.monotonic()
                if left <= 0 and self._outstanding < OUTSTANDING:
                    return
                self._changed.wait(max(left, 0.05))

    def _let_one_arrive(self) -> None:
        """Wait until something of the newest purchase is with the broker, for a moment: it is early by chance else."""
        until = time.monotonic() + EARLY_BY
        with self._changed:
            while not (self._over or time.monotonic() > until or any(sent.acknowledged for sent in self._newest)):
                self._changed.wait(0.05)

    def _send_all(self, purchase: Purchase, ending: str, spread: float = SPREAD) -> None:
        made = list(self._made(purchase, ending))
        self._newest = [sent for sent, _ in made]
        for sent, body in made:
            copies = 2 if self._chance.random() < self._doubled else 1
            with self._changed:
                self.ledger.events[sent.id] = sent
                for _ in range(copies):
                    self._push(self._chance.uniform(0, spread), 0, sent, body)
                self._outstanding += copies
                self._changed.notify()

    def _made(self, purchase: Purchase, ending: str) -> Iterator[tuple[Sent, bytes]]:
        for type_, obj in events_of(purchase, ending):
            for _ in range(2 if self._chance.random() < self._twinned else 1):
                event_id = f"evt_{self._chance.getrandbits(96):024x}"
                yield Sent(event_id, type_), to_bytes(stripe_event(type_, obj, event_id=event_id))

    def _push(self, delay: float, failures: int, sent: Sent, body: bytes) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), failures, sent, body))

    def _deliver(self) -> None:
        connection = HTTPConnection(str(self._address.hostname), self._address.port, timeout=TIMEOUT)
        while (next_one := self._next()) is not None:
            failures, sent, body = next_one
            answer = Answer(self._post(connection, body))
            with self._changed:
                sent.answers.append(answer)
                if answer.is_2xx:
                    self._outstanding -= 1
                else:
                    wait = BACKOFF[min(failures, len(BACKOFF) - 1)] * self._chance.uniform(0.8, 1.2)
                    self._push(wait, failures + 1, sent, body)
                self._changed.notify()
                if self._is_done():
                    self._changed.notify_all()
        connection.close()

    def _next(self) -> tuple[int, Sent, bytes] | None:
        with self._changed:
            while not self._over:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2:]
                self._changed.wait(wait)
        return None

    def _post(self, connection: HTTPConnection, body: bytes) -> int | None:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self._secret),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            connection.request("POST", "/webhooks/stripe", body, headers)
            response = connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            connection.close()  # the next request opens it again
            return None
        return response.status
