"""The load generator: sockets and epoll in a separate process, which uses little CPU and no server's Python lock.

Without a rate, each connection posts again as soon as it has its answer (closed loop). With a rate, posts are due by
the clock (open loop). A post's latency then starts when it is due, so a stalled server cannot slow the measurement.
"""

import gc
import multiprocessing
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from bench.posts import Posts

RECEIVE_SIZE = 65536  # bytes
ANSWER_TIMEOUT_S = 10.0  # without any answer for this long, the run fails
LOST = 0  # the status of a post whose connection was closed without an answer


@dataclass(frozen=True)
class LoadResult:
    """The result of a run. `latencies_s` are those of the posts answered 200."""

    statuses: Counter[int]
    latencies_s: Sequence[float] = field(repr=False)
    began_at: float  # when the first post was due, in Unix time
    duration_s: float  # from the first post to the last answer
    generator_share: float  # of one core, 0 to 1

    @property
    def accepted(self) -> int:
        """The number of posts answered 200."""
        return self.statuses[200]

    @property
    def rate(self) -> float:
        """The accepted posts per second."""
        return self.accepted / self.duration_s

    def percentile_s(self, share: float) -> float:
        """Return the latency in seconds that this share (0 to 1) of the accepted posts did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class LoadPlan:
    """The plan of one run. It posts for `seconds`, or all posts. `rate` is in posts per second; None is the maximum."""

    port: int
    posts: Posts
    connections: int
    seconds: float | None = None
    rate: float | None = None


def run_load(plan: LoadPlan) -> LoadResult:
    """Run a plan in a separate process. Raises `TimeoutError` when the server stops answering."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_run_here, plan).result()


def _run_here(plan: LoadPlan) -> LoadResult:
    requests = plan.posts.requests()
    gc.disable()
    return _Run(plan, requests).run()


class _Run:
    def __init__(self, plan: LoadPlan, requests: Sequence[bytes]) -> None:
        self._plan, self._requests = plan, requests
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: list[int] = []
        self._due: dict[int, float] = {}  # by descriptor: when its post in flight was due
        self._received: dict[int, bytes] = {}
        self._statuses: Counter[int] = Counter()
        self._latencies_s: list[float] = []
        for _ in range(plan.connections):
            self._connect()

    def run(self) -> LoadResult:
        began = last = time.perf_counter()
        began_at = time.time()
        cpu = time.process_time()
        until = began + (self._plan.seconds or float("inf"))
        interval = 1 / self._plan.rate if self._plan.rate else 0.0
        posted, total = 0, len(self._requests)
        while self._due or posted < total:
            now = time.perf_counter()
            if now >= until:
                total = posted  # post nothing more, but wait for the answers
            while posted < total and self._idle and began + posted * interval <= now:
                self._post(self._requests[posted], began + posted * interval if interval else now)
                posted += 1
            if not self._due and posted >= total:
                break
            waits_for_clock = interval and self._idle and posted < total
            timeout = began + posted * interval - now if waits_for_clock else ANSWER_TIMEOUT_S
            ready = self._poll.poll(max(0.0, timeout))
            now = time.perf_counter()
            if not ready and now - last > ANSWER_TIMEOUT_S:
                raise TimeoutError(f"no answer for {ANSWER_TIMEOUT_S:g} s, {len(self._due)} posts in flight")
            for descriptor, _ in ready:
                if self._receive(descriptor, now):
                    last = now
        duration = last - began
        share = (time.process_time() - cpu) / duration
        return LoadResult(self._statuses, self._latencies_s, began_at, duration, share)

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._plan.port), timeout=ANSWER_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = connection.fileno()
        self._sockets[descriptor], self._received[descriptor] = connection, b""
        self._poll.register(descriptor, select.EPOLLIN)
        self._idle.append(descriptor)

    def _post(self, request: bytes, due: float) -> None:
        descriptor = self._idle.pop()
        self._due[descriptor] = due
        self._sockets[descriptor].sendall(request)

    def _receive(self, descriptor: int, now: float) -> bool:
        """Read what has arrived and return True if it completes an answer. A closed connection is replaced."""
        try:
            data = self._sockets[descriptor].recv(RECEIVE_SIZE)
        except ConnectionError:
            data = b""
        if not data:
            self._replace(descriptor)
            return False
        answer = self._received[descriptor] + data
        head, separator, body = answer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            self._received[descriptor] = answer
            return False
        self._received[descriptor] = b""
        status, due = int(head[9:12]), self._due.pop(descriptor)
        self._statuses[status] += 1
        if status == 200:
            self._latencies_s.append(now - due)
        if b"\r\nconnection: close" in head.lower():
            self._replace(descriptor)
        else:
            self._idle.append(descriptor)
        return True

    def _replace(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._sockets.pop(descriptor).close()
        del self._received[descriptor]
        if self._due.pop(descriptor, None) is not None:
            self._statuses[LOST] += 1
        if descriptor in self._idle:
            self._idle.remove(descriptor)
        self._connect()


def _content_length(head: bytes) -> int:
    lower = head.lower()
    position = lower.find(b"\r\ncontent-length:")
    if position < 0:
        raise ValueError("the load generator reads only answers with a Content-Length")
    return int(lower[position + 17 :].split(b"\r\n", 1)[0])
