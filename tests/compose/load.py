"""Stripe's events at a steady rate while containers come and go, and what became of each."""

import itertools
import threading
import time
from collections.abc import Iterator

import httpx
from events.testing.servers import wait_until
from events.testing.stripe import charge, sign, stripe_event, to_bytes

from demo.system import System

from .containers import ROOT

RATE = 50  # events a second
THREADS = 8
RETRY = 0.5  # seconds until an event that was not taken is posted again; Stripe waits longer


class Poster:
    """Posts events as Stripe does: each again until it is taken. `taken` are the ids that were answered 200."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._url = f"{system.urls['webhooks']}/webhooks/stripe"
        self._secret = (ROOT / ".secrets" / "stripe_webhook_secrets").read_text()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post_all) for _ in range(THREADS)]
        self._numbers = itertools.count()
        self._began = time.monotonic()
        self.taken: list[str] = []
        self.refused = 0

    def __enter__(self) -> "Poster":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        seconds = time.monotonic() - self._began
        print(f"{len(self.taken)} events taken in {seconds:.0f} s, {self.refused} of the posts had to be repeated")

    def wait_until_handled(self) -> None:
        """Every event that was taken is in the orders' inbox."""
        missing = set(self.taken)

        def all_handled() -> bool:
            missing.difference_update(_inbox(self._system, missing))
            return not missing

        wait_until(all_handled, 180, "every event that was taken in the orders' inbox")

    def _post_all(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._over.is_set():
                due = self._began + next(self._numbers) / RATE
                self._over.wait(max(0.0, due - time.monotonic()))
                self._post(client)

    def _post(self, client: httpx.Client) -> None:
        event = stripe_event("charge.succeeded", charge(None))
        body = to_bytes(event)
        while not self._is_taken(client, body):
            self.refused += 1
            time.sleep(RETRY)
        self.taken.append(event["id"])

    def _is_taken(self, client: httpx.Client, body: bytes) -> bool:
        headers = {"Stripe-Signature": sign(body, self._secret), "Content-Type": "application/json"}
        try:
            return client.post(self._url, content=body, headers=headers).status_code == 200
        except httpx.TransportError:
            return False


def _inbox(system: System, wanted: set[str]) -> Iterator[str]:
    """Of the wanted events, those that orders has."""
    path = "/ops/inbox?limit=200&type=charge.succeeded"
    cursor = ""
    while cursor is not None:
        page = system.get("orders", path + cursor, operator=True).raise_for_status().json()
        yield from (row["event_id"] for row in page["items"] if row["event_id"] in wanted)
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
