"""The composed system for real: up, buy, scale, kill, restart everything under load, down. `make test-compose`."""

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from events.testing.servers import wait_until
from events.testing.stripe import charge, sign, stripe_event, to_bytes

from demo.__main__ import table
from demo.remote import composed
from demo.scenarios import Play, play_all
from demo.sums import compare
from demo.system import System

ROOT = Path(__file__).parents[2]
RATE = 50  # events a second while containers restart
RETRY = 0.5  # seconds until an event that was not taken is posted again; Stripe waits longer
RESTARTED = ("webhooks", "proxy", "orders-worker", "inventory-worker", "notifications-worker", "checkout-worker")
RESTARTED += ("orders", "inventory", "checkout", "notifications", "rabbitmq", "postgres")

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.environ.get("COMPOSE_TESTS") != "1", reason="builds and runs containers: make test-compose"),
]


def compose(*arguments: str) -> str:
    done = subprocess.run(["docker", "compose", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    subprocess.run(["make", "up"], cwd=ROOT, check=True, capture_output=True)
    yield composed()
    subprocess.run(["make", "down", "VOLUMES=-v"], cwd=ROOT, check=True, capture_output=True)


def test_every_kind_of_purchase_has_all_its_effects(system: System) -> None:
    findings = play_all(system)

    assert all(finding.ok for finding in findings), table(findings)
    assert all(one.ok for one in compare(system))


class Poster:
    """Posts events as Stripe does: each again until it is taken. `taken` are the ids that were answered 200."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/webhooks/stripe"
        self._secret = (ROOT / ".secrets" / "stripe_webhook_secrets").read_text()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._post_all) for _ in range(8)]
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


def test_every_container_is_restarted_under_load_and_nothing_is_lost(system: System) -> None:
    compose("up", "-d", "--no-recreate", "--wait", "--scale", "orders-worker=2", "--scale", "webhooks=2")
    play = Play(system, "rolling")
    sku = "BEA-RIB-RUS-OS"
    before = play.stock(sku)
    with Poster(system.urls["webhooks"]) as poster:
        bought = [play.buy({sku: 1}) for _ in range(3)]
        for purchase in bought:
            system.stripe.pay(purchase["session_id"], "card", play.email)
        compose("kill", "-s", "SIGKILL", "inventory-worker")
        compose("up", "-d", "--no-recreate", "inventory-worker")
        for name in RESTARTED:
            compose("restart", name)
        wait_until(lambda: system.get("webhooks", "/readyz").status_code == 200, 60, "the ingest")
    assert len(poster.taken) > 500
    missing = set(poster.taken)

    def all_handled() -> bool:
        missing.difference_update(_inbox(system, missing))
        return not missing

    wait_until(all_handled, 120, "every event that was taken in the orders' inbox")
    for purchase in bought:
        play.check("order", "paid", lambda purchase=purchase: play.status(purchase))  # type: ignore[misc]
    play.check("stock", (before[0] - 3, before[1]), lambda: play.stock(sku))
    play.check("e-mails", ["order_confirmed"] * 3, play.mails)
    assert all(finding.ok for finding in play.findings), table(play.findings)
    assert all(one.ok for one in compare(system))


def _inbox(system: System, wanted: set[str]) -> Iterator[str]:
    """Of the wanted events, those that orders has."""
    path = "/ops/inbox?limit=200&type=charge.succeeded"
    cursor = ""
    while cursor is not None:
        page = system.get("orders", path + cursor, operator=True).raise_for_status().json()
        yield from (row["event_id"] for row in page["items"] if row["event_id"] in wanted)
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
