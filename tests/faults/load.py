"""A source of events that behaves as Stripe does, fast enough for a hundred thousand of them.

It signs each attempt and posts several events at once, in any order. It sends some events twice, describes some changes
by two events, and repeats each event until the ingest answers 2xx. It keeps a ledger of all answers.
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

from events.database.errors import is_unavailable
from events.testing.stripe import sign, stripe_event, to_bytes
from events.testing.waiting import wait_until

from tests.faults.bulk_checkouts import BulkCheckouts, Ending, stripe_events_for
from tests.faults.stripe_ledger import Answer, Purchase, SentEvent, StripeLedger

CLIENTS = 8
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0)  # the last one repeats; Stripe's own are minutes and hours
ANSWER_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = ANSWER_TIMEOUT_S + 5  # a thread ends after its last answer
SPREAD_S = 1.0  # a purchase's events are posted within this time
EARLY_WAIT_S = 1.0  # the longest wait for an early event's answer; during a fault there may be none
PURCHASE_BATCH_SIZE = 5
UNANSWERED_LIMIT = 2_000  # events; with more, new purchases wait, as customers would
POLL_S = 0.05
DUPLICATE_SHARE = 0.03  # of all events: sent twice
SECOND_EVENT_SHARE = 0.02  # of all changes: described by two events
EARLY_SHARE = 0.2  # of all purchases: their events come before `checkout.checkout.started`

Choice = tuple[Purchase, Ending]


class Load:
    """A load of `count` purchases, `rate` of them per second.

    It starts when its context is entered. `wait` waits until every event is delivered.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        checkouts: BulkCheckouts,
        *,
        count: int,
        rate: float,
        seed: int,
        duplicate_share: float = DUPLICATE_SHARE,
        second_event_share: float = SECOND_EVENT_SHARE,
        early_share: float = EARLY_SHARE,
    ) -> None:
        self.ledger = StripeLedger()
        self._address = urlsplit(url)
        self._secret, self._checkouts, self._count, self._rate = secret, checkouts, count, rate
        self._duplicate_share, self._second_event_share = duplicate_share, second_event_share
        self._early_share = early_share
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, int, SentEvent, bytes]] = []  # time, tie-breaker, number of failures
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._unanswered = 0
        self._newest: list[SentEvent] = []
        self._has_started_all, self._is_over = threading.Event(), False
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run_guarded, args=(run,), name=f"load-{run.__name__}", daemon=True)
            for run in (self._start_purchases, *[self._deliver] * CLIENTS)
        ]

    def __enter__(self) -> "Load":
        self.began_at = time.time()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)

    @property
    def acknowledged(self) -> int:
        """The number of acknowledged events. Raises the error that ended one of the threads."""
        self.raise_failure()
        return sum(sent.is_acknowledged for sent in list(self.ledger.events.values()))

    def raise_failure(self) -> None:
        """Raise the error that ended one of the threads, if there is one."""
        if self._failure:
            raise self._failure

    def wait(self, within: float) -> None:
        """Wait until every event has been answered 2xx.

        Raises `TimeoutError` when none was for `within` seconds, and the error that ended one of the threads.
        """
        wait_until(self.is_done, within, "the last delivery", progress=lambda: (self._unanswered, self._failure))
        self.raise_failure()

    def is_done(self) -> bool:
        """Return True if every event is answered 2xx, or if a thread has failed."""
        with self._changed:
            return self._is_done()

    def _is_done(self) -> bool:
        return self._failure is not None or (self._has_started_all.is_set() and not self._unanswered)

    def _run_guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _start_purchases(self) -> None:
        began = time.monotonic()
        for first in range(0, self._count, PURCHASE_BATCH_SIZE):
            self._pause(until=began + first / self._rate)
            batch = [self._checkouts.choose() for _ in range(min(PURCHASE_BATCH_SIZE, self._count - first))]
            purchases = [purchase for purchase, _ in batch]
            early = [choice for choice in batch if self._random.random() < self._early_share]
            self._repeat_while_away(self._checkouts.reserve, purchases)
            for choice in early:
                self._send_all(*choice, spread_s=0.0)
            if early:
                self._wait_for_early_event()
            self._repeat_while_away(self._checkouts.publish_started, purchases)
            self.ledger.purchases += purchases
            for choice in batch:
                if choice not in early:
                    self._send_all(*choice)
        with self._changed:
            self._has_started_all.set()
            self._changed.notify_all()

    def _repeat_while_away(self, step: Callable[[Sequence[Purchase]], None], purchases: Sequence[Purchase]) -> None:
        """Run a step again and again until the databases that it needs are back, and its rows are free."""
        while not self._is_over:
            try:
                step(purchases)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                self._pause(until=time.monotonic() + RETRY_DELAYS_S[0])
            else:
                return

    def _pause(self, until: float) -> None:
        with self._changed:
            while not self._is_over:
                left = until - time.monotonic()
                if left <= 0 and self._unanswered < UNANSWERED_LIMIT:
                    return
                self._changed.wait(max(left, POLL_S))

    def _wait_for_early_event(self) -> None:
        """Wait until an event of the newest purchase is acknowledged. Without it, an early event could be late."""
        until = time.monotonic() + EARLY_WAIT_S
        with self._changed:
            while not (self._is_over or time.monotonic() > until or any(s.is_acknowledged for s in self._newest)):
                self._changed.wait(POLL_S)

    def _send_all(self, purchase: Purchase, ending: Ending, spread_s: float = SPREAD_S) -> None:
        events = list(self._events(purchase, ending))
        self._newest = [sent for sent, _ in events]
        for sent, body in events:
            copies = 2 if self._random.random() < self._duplicate_share else 1
            with self._changed:
                self.ledger.events[sent.id] = sent
                for _ in range(copies):
                    self._push(self._random.uniform(0, spread_s), 0, sent, body)
                self._unanswered += copies
                self._changed.notify()

    def _events(self, purchase: Purchase, ending: Ending) -> Iterator[tuple[SentEvent, bytes]]:
        for type_, obj in stripe_events_for(purchase, ending):
            for _ in range(2 if self._random.random() < self._second_event_share else 1):
                event_id = f"evt_{self._random.getrandbits(96):024x}"
                yield SentEvent(event_id, type_), to_bytes(stripe_event(type_, obj, event_id=event_id))

    def _push(self, delay: float, failures: int, sent: SentEvent, body: bytes) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), failures, sent, body))

    def _deliver(self) -> None:
        connection = HTTPConnection(str(self._address.hostname), self._address.port, timeout=ANSWER_TIMEOUT_S)
        while (next_one := self._next()) is not None:
            failures, sent, body = next_one
            answer = Answer(self._post(connection, body))
            with self._changed:
                sent.answers.append(answer)
                if answer.is_2xx:
                    self._unanswered -= 1
                else:
                    delay = RETRY_DELAYS_S[min(failures, len(RETRY_DELAYS_S) - 1)] * self._random.uniform(0.8, 1.2)
                    self._push(delay, failures + 1, sent, body)
                self._changed.notify()
                if self._is_done():
                    self._changed.notify_all()
        connection.close()

    def _next(self) -> tuple[int, SentEvent, bytes] | None:
        with self._changed:
            while not self._is_over:
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
