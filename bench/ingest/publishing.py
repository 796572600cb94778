"""Limit (c): our publisher alone, its window kept full from one thread. Prints what it did as JSON."""

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
from events.testing.servers import wait_until
from webhooks.verification import parse_event

from bench.posts import numbered
from bench.purchases import COMPLETED, templates


def main(count: int) -> None:
    """Publish `count` confirmed events; raises `Unpublished` if one is not."""
    configure_logging("bench", "WARNING")
    template = templates()[COMPLETED]
    events = [parse_event(numbered(template, number)) for number in range(count)]
    publishing = publisher.connect(os.environ["BROKER_URL"])
    wait_until(lambda: _is_ready(publishing), what="the publisher")
    free = threading.Semaphore(publisher.WINDOW_SIZE)
    latencies: list[float] = []
    futures: deque[Future[None]] = deque()

    def note(begun: float) -> None:
        latencies.append(time.perf_counter() - begun)
        free.release()

    before, begun = _cpu(), time.perf_counter()
    for event in events:
        free.acquire()
        at = time.perf_counter()
        future = publishing.publish(event)
        future.add_done_callback(lambda _, at=at: note(at))  # type: ignore[misc]
        futures.append(future)
    for future in futures:
        publishing.wait(future)
    took, used = time.perf_counter() - begun, _cpu() - before
    publishing.close()
    latencies.sort()
    json.dump(
        {
            "rate": count / took,
            "p50": latencies[count // 2],
            "p99": latencies[count * 99 // 100],
            "cpu": used / count,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        },
        sys.stdout,
    )


def _is_ready(publishing: Publisher) -> bool:
    publishing.check()
    return True


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]))
