"""The load generator: sockets and epoll in a process of its own, so that it costs little and disturbs nobody's GIL.

Closed loop: each connection posts again as soon as it is answered. With a `rate`, open loop: a post is late from the
moment when it was due, so a server that stalls does not slow its own examination down.
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

RECEIVE = 65536
PATIENCE = 10.0  # seconds without any answer, after which the run is given up


@dataclass(frozen=True)
class Shots:
    """What came of a run. `latencies` in seconds, of the posts answered 200; `took` from the first to the last one."""

    statuses: Counter[int]
    latencies: Sequence[float] = field(repr=False)
    begun: float  # when the first one was due, in seconds since the epoch
    took: float
    busy: float  # the generator's own share of a core, 0 to 1

    @property
    def accepted(self) -> int:
        return self.statuses[200]

    @property
    def rate(self) -> float:
        return self.accepted / self.took

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class Plan:
    """`seconds`: the end for what is not yet posted; None: post all. `rate` per second; None: as fast as answered."""

    port: int
    posts: Posts
    connections: int
    seconds: float | None = None
    rate: float | None = None


def fire(plan: Plan) -> Shots:
    """Run a plan in a process of its own. Raises `TimeoutError` when the server does not answer any more."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_fire, plan).result()


def _fire(plan: Plan) -> Shots:
    requests = plan.posts.requests()
    gc.disable()
    return _Run(plan, requests).shoot()


class _Run:
    def __init__(self, plan: Plan, requests: Sequence[bytes]) -> None:
        self._plan, self._requests = plan, requests
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: list[int] = []
        self._due: dict[int, float] = {}  # by descriptor, of the post under way
        self._received: dict[int, bytes] = {}
        self._statuses: Counter[int] = Counter()
        self._latencies: list[float] = []
        for _ in range(plan.connections):
            self._connect()

    def shoot(self) -> Shots:
        begun = last = time.perf_counter()
        wall = time.time()
        cpu = time.process_time()
        until = begun + (self._plan.seconds or float("inf"))
        interval = 1 / self._plan.rate if self._plan.rate else 0.0
        posted, total = 0, len(self._requests)
        while self._due or posted < total:
            now = time.perf_counter()
            if now >= until:
                total = posted  # the rest stays unposted; answers are still awaited
            while posted < total and self._idle and begun + posted * interval <= now:
                self._post(self._requests[posted], begun + posted * interval if interval else now)
                posted += 1
            if not self._due and posted >= total:
                break
            wait = begun + posted * interval - now if interval and self._idle and posted < total else PATIENCE
            ready = self._poll.poll(max(0.0, wait))
            now = time.perf_counter()
            if not ready and now - last > PATIENCE:
                raise TimeoutError(f"no answer for {PATIENCE:g} s, {len(self._due)} posts under way")
            for descriptor, _ in ready:
                if self._answered(descriptor, now):
                    last = now
        took = last - begun
        return Shots(self._statuses, self._latencies, wall, took, (time.process_time() - cpu) / took)

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._plan.port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = connection.fileno()
        self._sockets[descriptor], self._received[descriptor] = connection, b""
        self._poll.register(descriptor, select.EPOLLIN)
        self._idle.append(descriptor)

    def _post(self, request: bytes, due: float) -> None:
        descriptor = self._idle.pop()
        self._due[descriptor] = due
        self._sockets[descriptor].sendall(request)

    def _answered(self, descriptor: int, now: float) -> bool:
        """Take what came; whether an answer is complete with it. A closed connection is replaced, its post lost."""
        try:
            data = self._sockets[descriptor].recv(RECEIVE)
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
            self._latencies.append(now - due)
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
            self._statuses[0] += 1
        if descriptor in self._idle:
            self._idle.remove(descriptor)
        self._connect()


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("the generator reads answers with a Content-Length only")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0])
