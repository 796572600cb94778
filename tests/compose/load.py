"""Stripe's events at a steady rate while containers stop and start, and the answer to each event."""

import itertools
import threading
import time
from collections.abc import Iterator

import httpx
from events.testing.stripe import charge, sign, stripe_event, to_bytes
from events.testing.waiting import wait_until

from demo.system import System

from .containers import ROOT

RATE = 50  # events a second
THREADS = 8
RETRY_DELAY_S = 0.5  # the pace of repeated posts, as Stripe has one (longer); no test waits for it
HANDLED_TIMEOUT_S = 180


class WebhookPoster:
    """Posts events as Stripe does, each until it is answered 200. `accepted` has the ids of these events."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._url = f"{system.urls['webhooks']}/webhooks/stripe"
        self._secret = (ROOT / ".secrets" / "stripe_webhook_secrets").read_text()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._post_all) for _ in range(THREADS)]
        self._numbers = itertools.count()
        self._began = time.monotonic()
        self.accepted: list[str] = []
        self.refused = 0

    def __enter__(self) -> "WebhookPoster":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        seconds = time.monotonic() - self._began
        print(f"{len(self.accepted)} events accepted in {seconds:.0f} s, {self.refused} posts repeated")

    def wait_until_handled(self) -> None:
        """Wait until every accepted event is in the inbox of orders."""
        missing = set(self.accepted)

        def discard_handled() -> bool:
            missing.difference_update(_ids_in_inbox(self._system, missing))
            return not missing

        wait_until(discard_handled, HANDLED_TIMEOUT_S, "all accepted events in the inbox of orders")

    def _post_all(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._is_over.is_set():
                due = self._began + next(self._numbers) / RATE
                self._is_over.wait(max(0.0, due - time.monotonic()))
                self._post(client)

    def _post(self, client: httpx.Client) -> None:
        event = stripe_event("charge.succeeded", charge(None))
        body = to_bytes(event)
        while not self._send(client, body):
            self.refused += 1
            time.sleep(RETRY_DELAY_S)
        self.accepted.append(event["id"])

    def _send(self, client: httpx.Client, body: bytes) -> bool:
        """Post the event once. Return True if the answer is 200."""
        headers = {"Stripe-Signature": sign(body, self._secret), "Content-Type": "application/json"}
        try:
            return client.post(self._url, content=body, headers=headers).status_code == 200
        except httpx.TransportError:
            return False


def _ids_in_inbox(system: System, wanted: set[str]) -> Iterator[str]:
    """Yield the wanted ids that the inbox of orders has."""
    path = "/ops/inbox?limit=200&type=charge.succeeded"
    cursor = ""
    while cursor is not None:
        page = system.get("orders", path + cursor, operator=True).raise_for_status().json()
        yield from (row["event_id"] for row in page["items"] if row["event_id"] in wanted)
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
