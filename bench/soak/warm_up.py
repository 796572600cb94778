"""The warm-up before the first sample of a run with load.

A web process starts a thread when more requests come at once than it has threads, and each one costs 0.4 MiB. So a busy
minute in the middle of a run would look like a leak.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx
from events.web.server import THREADS

BURSTS = 20
TIMEOUT_S = 30.0


def fill_thread_pools(urls: Iterable[str]) -> None:
    """Send each web process twice as many requests at once as it has threads, several times."""
    kept = httpx.Limits(max_keepalive_connections=2 * THREADS)  # else one thread may close what another begins to use
    with httpx.Client(timeout=TIMEOUT_S, limits=kept) as http, ThreadPoolExecutor(2 * THREADS) as at_once:
        for url in urls:
            for answer in at_once.map(http.get, [f"{url}/openapi.json"] * (2 * THREADS * BURSTS)):
                answer.raise_for_status()
