"""Limit (c): the publisher alone, with one thread that keeps its window full. Prints the figures as JSON."""

import json
import os
import resource
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future

from events.messaging import publisher
from events.messaging.publisher import Publisher
from events.observability.logging import configure_logging
from events.testing.waiting import wait_until
from webhooks.verification import parse_event

from bench.posts import numbered
from bench.purchases import COMPLETED, templates


def main(count: int) -> None:
    """Publish `count` events and print the figures. Raises `PublishUnconfirmedError` if one is not confirmed."""
    configure_logging("bench", "WARNING")
    template = templates()[COMPLETED]
    events = [parse_event(numbered(template, number)) for number in range(count)]
    publishing = publisher.connect(os.environ["BROKER_URL"])
    wait_until(lambda: _is_ready(publishing), what="the publisher")
    window = threading.Semaphore(publisher.WINDOW_SIZE)
    latencies: list[float] = []
    futures: deque[Future[None]] = deque()

    def record(began: float) -> None:
        latencies.append(time.perf_counter() - began)
        window.release()

    cpu_before, began = _cpu_s(), time.perf_counter()
    for event in events:
        window.acquire()
        published = time.perf_counter()
        future = publishing.publish(event)
        future.add_done_callback(lambda _, published=published: record(published))  # type: ignore[misc]
        futures.append(future)
    for future in futures:
        publishing.wait(future)
    duration, cpu = time.perf_counter() - began, _cpu_s() - cpu_before
    publishing.close()
    latencies.sort()
    json.dump(
        {
            "rate": count / duration,
            "p50_s": latencies[count // 2],
            "p99_s": latencies[count * 99 // 100],
            "cpu_s": cpu / count,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        },
        sys.stdout,
    )


def _is_ready(publishing: Publisher) -> bool:
    publishing.check()
    return True


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]))
