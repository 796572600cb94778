"""A hanging Stripe, and customers who keep trying: the rest of checkout goes on."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from events import stripe_api
from events.testing import http
from events.testing.waiting import wait_until

from .processes import installation

SERVICES = ("checkout", "inventory")
CUSTOMERS = 40  # more than a web process has threads


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield the URL of a server that accepts connections and never answers."""
    with ExitStack() as accepted, socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    accepted.enter_context(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def well_stocked(url: str) -> list[str]:
    """Return the products of which each customer of the test can have one."""
    return [each["sku"] for each in http.get(f"{url}/products").json()["items"] if (each["available"] or 0) >= 8]


def test_hanging_stripe_leaves_threads_for_other_requests(
    tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str
) -> None:
    with silent_server() as stripe, ThreadPoolExecutor(CUSTOMERS) as customers:
        settings = {"STRIPE_API_BASE": stripe}
        with installation(tmp_path, new_postgres_url, broker_url, settings=settings, only_web=SERVICES) as installed:
            url = installed.system.urls["checkout"]
            wait_until(lambda: len(well_stocked(url)) > 5, 30, "the stock of the catalog")
            skus = well_stocked(url)

            def buy(number: int) -> httpx.Response:
                body = {"items": [{"sku": skus[number % len(skus)], "quantity": 1}]}
                headers = {"Idempotency-Key": f"customer-{number}"}
                return http.post(f"{url}/checkout/sessions", json=body, headers=headers, timeout=60)

            posts = [customers.submit(buy, number) for number in range(CUSTOMERS)]
            refused = 0
            while refused < CUSTOMERS - stripe_api.MAX_CONCURRENT_CALLS:
                done = [post for post in posts if post.done()]
                refused = len(done)
                assert http.get(f"{url}/healthz", timeout=8).status_code == 200
                assert http.get(f"{url}/products", timeout=8).status_code == 200
            answers = [post.result() for post in done]
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.json()["type"].rpartition(":")[2] for answer in answers} == {"stripe-unavailable"}
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
