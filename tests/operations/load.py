"""Events of Stripe at a steady rate, created at the fake Stripe: it delivers and retries them, and lists them later."""

import threading
import time

import httpx
from events.testing.waiting import wait_until

from demo.fake_stripe.client import API_KEY_HEADER
from demo.system import System

RATE = 20  # events a second
TYPE = "charge.succeeded"  # a fact that orders knows already: it is handled, and changes nothing
HANDLED_TIMEOUT_S = 300
PAGE = 200


class EventSource:
    """A thread that creates events about one charge while a block runs. `created` has their ids."""

    def __init__(self, stripe_url: str, charge_id: str) -> None:
        self._url, self._charge_id = f"{stripe_url}/_control/trigger", charge_id
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._create_all)
        self.created: list[str] = []

    def __enter__(self) -> "EventSource":
        self._began_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._began_at
        print(f"{len(self.created)} events in {self.seconds:.0f} s")

    def _create_all(self) -> None:
        with httpx.Client(timeout=60, headers=API_KEY_HEADER) as client:
            while not self._is_over.is_set():
                due_at = self._began_at + len(self.created) / RATE
                self._is_over.wait(max(0.0, due_at - time.monotonic()))
                body = {"type": TYPE, "object_id": self._charge_id}
                self.created.append(client.post(self._url, json=body).raise_for_status().json()["id"])


def wait_until_handled(system: System, ids: list[str]) -> None:
    """Wait until all events are in the inbox of orders, each of them once and handled."""

    def missing() -> set[str]:
        return set(ids) - handled_ids(system)

    wait_until(lambda: not missing(), HANDLED_TIMEOUT_S, "all events of Stripe in the inbox of orders")


def handled_ids(system: System) -> set[str]:
    """Return the ids of the load's events that orders has handled."""
    found: set[str] = set()
    cursor: str | None = ""
    while cursor is not None:
        path = f"/ops/inbox?limit={PAGE}&type={TYPE}{cursor}"
        page = system.get("orders", path, operator=True).raise_for_status().json()
        found |= {row["event_id"] for row in page["items"] if row["status"] == "done"}
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return found
