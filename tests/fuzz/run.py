"""Runs of the fuzzer: sends requests from several threads, and keeps what the services answered."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fuzz.requests import Request, RequestMaker

THREADS = 4
TIMEOUT_S = 60.0  # an answer that takes longer counts as none
LIMIT_S = 1.0  # the promise about every answer
REPEATS = 2  # a slow request is sent again: a busy machine is not slow three times
DOCUMENTED = frozenset(
    {"broker-unavailable", "inventory-unavailable", "stripe-unavailable"}
)  # problems with status 503


@dataclass(frozen=True)
class Answer:
    """An answer: status 0 means none, and `detail` then has the error. `took_s` is the best of the repeats."""

    request: Request
    status: int
    took_s: float
    detail: bytes
    is_json: bool

    @property
    def is_failure(self) -> bool:
        """True for no answer, and for a status of 500 or more that no document has."""
        return self.status == 0 or (self.status >= 500 and not (self.status == 503 and self._kind in DOCUMENTED))

    @property
    def _kind(self) -> str:
        try:
            return str(json.loads(self.detail)["type"]).rpartition(":")[2]
        except (ValueError, TypeError, KeyError):
            return ""

    def __str__(self) -> str:
        request = self.request
        body = (request.body or b"")[:500]
        headers = dict(request.headers)
        return (
            f"{self.status} after {self.took_s:.2f} s: {request.operation.name}\n  {request.target[:500]}\n"
            f"  {headers}\n  {body!r}\n  answer: {self.detail[:500]!r}"
        )


@dataclass
class Result:
    """The answers of a run, in numbers, with the failures and the slow ones themselves."""

    requests: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)  # by the operation's name and the status
    slowest: dict[str, float] = field(default_factory=dict)  # seconds by service, before any repeat
    failures: list[Answer] = field(default_factory=list)
    slow: list[Answer] = field(default_factory=list)
    repeated: int = 0  # requests that were slow once and fast when they were repeated
    took_s: float = 0.0

    def add(self, answer: Answer, first_s: float) -> None:
        service = answer.request.operation.service
        self.requests += 1
        self.answers[answer.request.operation.name, answer.status] += 1
        self.slowest[service] = max(first_s, self.slowest.get(service, 0.0))
        if answer.is_failure:
            self.failures.append(answer)
        if answer.took_s > LIMIT_S:
            self.slow.append(answer)
        elif first_s > LIMIT_S:
            self.repeated += 1


def run(urls: Mapping[str, str], make_maker: Callable[[int], RequestMaker], requests: int) -> Result:
    """Send this number of requests and return the result. Each thread has a maker of its own."""
    result, lock, began = Result(), threading.Lock(), time.monotonic()

    def send(number: int) -> None:
        maker = make_maker(number)
        with _Connections(urls) as connections:
            for _ in range(number, requests, THREADS):
                answer = connections.send(maker.make())
                first_s = answer.took_s
                for _ in range(REPEATS):
                    if answer.took_s > LIMIT_S and not answer.is_failure:
                        answer = min(answer, connections.send(answer.request), key=lambda each: each.took_s)
                if answer.status < 300 and answer.is_json and answer.detail:
                    maker.learn(json.loads(answer.detail))
                with lock:
                    result.add(answer, first_s)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(send, range(THREADS)))  # raises the error of a thread
    result.took_s = time.monotonic() - began
    return result


class _Connections(ExitStack):
    """One connection to each service, opened again after an error."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        super().__init__()
        addresses = {service: urlsplit(url) for service, url in urls.items()}
        self._open = {
            service: self.enter_context(
                closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_S))
            )
            for service, url in addresses.items()
        }

    def send(self, request: Request) -> Answer:
        service, began = request.operation.service, time.monotonic()
        try:
            status, body, is_json = self._exchange(service, request)
        except (http.client.RemoteDisconnected, ConnectionError):  # the server may close an idle connection
            self._open[service].close()  # the next request opens it again
            began = time.monotonic()
            try:
                status, body, is_json = self._exchange(service, request)
            except (http.client.HTTPException, OSError) as error:
                status, body, is_json = self._lost(service, error)
        except (http.client.HTTPException, OSError) as error:
            status, body, is_json = self._lost(service, error)
        return Answer(request, status, time.monotonic() - began, body, is_json)

    def _exchange(self, service: str, request: Request) -> tuple[int, bytes, bool]:
        connection = self._open[service]
        # A request can be refused before its body is read: the sending then fails, and the answer is there.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(request.operation.method, request.target, request.body, dict(request.headers))
        response = connection.getresponse()
        return response.status, response.read(), response.headers.get_content_subtype().endswith("json")

    def _lost(self, service: str, error: Exception) -> tuple[int, bytes, bool]:
        self._open[service].close()  # the next request opens it again
        return 0, repr(error).encode(), False
