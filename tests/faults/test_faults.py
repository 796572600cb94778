"""Purchases while things break: the real processes, a private broker and database that are frozen and killed.

After each fault an auditor compares what Stripe knows with what every service made of it: nothing lost, nothing twice.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from events import topology
from events.testing.servers import Server, Unavailable, private_postgres, private_rabbitmq, wait_until
from kombu import Connection

from demo.scenarios import Play
from demo.system import System
from tests.e2e.processes import WITH_DATABASE, Fleet, fleet

SEED = 20261102
PURCHASES = 12  # a fault: enough to be in every stage when it strikes
SKU = "BEA-RIB-RUS-OS"
DRAINED_WITHIN = (
    180.0  # seconds until all is as if nothing had been; a killed sender's mails wait for their lease's end
)
UNSETTLED = ("waiting", "retrying", "failed")

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Bench:
    """A running system, and the servers below it to break."""

    system: System
    fleet: Fleet
    broker: Server
    postgres: Server


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    try:
        with private_postgres() as postgres, private_rabbitmq() as broker:
            names = iter(range(100))

            def new_database() -> str:
                name = f"faults_{next(names)}"
                with psycopg.connect(postgres.url, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}")
                return urlunsplit(urlsplit(postgres.url)._replace(path=f"/{name}"))

            folder: Path = tmp_path_factory.mktemp("faults")
            with fleet(folder, new_database, broker.url) as (system, processes):
                yield Bench(system, processes, broker, postgres)
    except Unavailable as reason:
        pytest.skip(f"faults need server programs of their own to break: {reason}")


@contextmanager
def frozen_broker(bench: Bench) -> Iterator[None]:
    bench.broker.freeze()
    try:
        yield
    finally:
        bench.broker.thaw()


@contextmanager
def killed_broker(bench: Bench) -> Iterator[None]:
    bench.broker.kill()
    try:
        yield
    finally:
        bench.broker.start()


@contextmanager
def killed_database(bench: Bench) -> Iterator[None]:
    bench.postgres.kill()
    try:
        yield
    finally:
        bench.postgres.start()


@contextmanager
def killed_services(bench: Bench) -> Iterator[None]:
    """SIGKILL at seeded random moments, one process after the other, each started again at once."""
    chance, over = random.Random(SEED), threading.Event()

    def strike() -> None:
        while not over.wait(chance.uniform(0.05, 0.4)):
            service = chance.choice(WITH_DATABASE)
            bench.fleet.signal(service, "worker", signal.SIGKILL)
            bench.fleet.start(service, "worker")

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield
        over.wait(4)
    finally:
        over.set()
        thread.join()


@contextmanager
def killed_ingest(bench: Bench) -> Iterator[None]:
    bench.fleet.signal("webhooks", "web", signal.SIGKILL)
    try:
        yield
    finally:
        bench.fleet.start("webhooks", "web")


@contextmanager
def no_mail_server(bench: Bench) -> Iterator[None]:
    bench.system.mailbox.stop()
    try:
        yield
    finally:
        bench.system.mailbox.start()


@contextmanager
def unruly_stripe(bench: Bench) -> Iterator[None]:
    """Duplicates, second Event objects, another order, bad signatures that are retried."""
    for kind in ("duplicate", "reorder", "twin", "corrupt_signature"):
        bench.system.stripe.add_fault(kind, count=4, seconds=0.5)
    yield
    bench.system.stripe.clear_faults()


FAULTS: dict[str, Callable[[Bench], Any]] = {
    "broker frozen": frozen_broker,
    "broker killed": killed_broker,
    "database killed": killed_database,
    "workers killed at random": killed_services,
    "ingest killed": killed_ingest,
    "mail server down": no_mail_server,
    "Stripe unruly": unruly_stripe,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_happens_twice(bench: Bench, fault: str, report: Any) -> None:
    system = bench.system
    play = Play(system, fault)
    _fill_shelf(system)
    before = play.stock(SKU)
    bought = [play.buy({SKU: 1}) for _ in range(PURCHASES)]
    with FAULTS[fault](bench), ThreadPoolExecutor(4) as customers:
        for purchase in bought:
            customers.submit(system.stripe.pay, purchase["session_id"], "card", play.email)
        wait_until(lambda: _paid_at_stripe(system, bought), 30, "the payments at Stripe")
    over = time.monotonic()

    def problems() -> list[str]:
        return audit(bench, play, bought, before)

    wait_until(lambda: _quiet(problems), DRAINED_WITHIN, "the end of all effects")
    drained_after = time.monotonic() - over
    lost = sum(play.status(one) != "paid" for one in bought)
    sold, mailed = before[0] - play.stock(SKU)[0], len(play.mails())
    twice = max(0, sold - len(bought)) + max(0, mailed - len(bought))
    report.add(fault, len(bought), lost, twice, drained_after)
    assert problems() == [], "and so it stays"


def audit(bench: Bench, play: Play, bought: list[dict[str, Any]], before: tuple[int, int]) -> list[str]:
    """Every difference between what was paid at Stripe and what the services made of it."""
    found = [f"order {one['checkout_id']}: {play.status(one)}" for one in bought if play.status(one) != "paid"]
    if (stock := play.stock(SKU)) != (before[0] - len(bought), before[1]):
        found.append(f"stock: {before} became {stock} by {len(bought)} sales")
    if (mails := play.mails()) != ["order_confirmed"] * len(bought):
        found.append(f"e-mails: {mails}")
    for service in WITH_DATABASE:
        for status in UNSETTLED:
            rows = bench.system.get(service, f"/ops/inbox?status={status}", operator=True).json()["items"]
            found += [f"{service}: {row['event_id']} is {status}: {row['error']}" for row in rows]
    with Connection(bench.broker.url) as connection:
        for service in topology.BINDINGS:
            name = topology.dead_queue(service)
            dead = connection.default_channel.queue_declare(name, passive=True).message_count
            found += [f"{dead} messages in {name}"] if dead else []
    return found


def _quiet(problems: Callable[[], list[str]]) -> bool:
    found = problems()
    if found:
        raise AssertionError("; ".join(found))  # so that a timeout names what was still wrong
    return True


def _paid_at_stripe(system: System, bought: list[dict[str, Any]]) -> bool:
    return all(system.stripe.session(one["session_id"])["payment_status"] == "paid" for one in bought)


def _fill_shelf(system: System) -> None:
    headers = {"Authorization": f"Bearer {system.operator_token}"}
    body = {"on_hand": 1000, "reason": "a fault's stock"}
    httpx.put(f"{system.urls['inventory']}/stock/{SKU}", json=body, headers=headers).raise_for_status()


def test_frozen_broker_is_answered_503_in_time_and_recovered_from(bench: Bench) -> None:
    from events.testing.stripe import checkout_session, sign, stripe_event, to_bytes

    url = bench.system.urls["webhooks"]
    secret = bench.system.stripe.account.webhooks.endpoints[0].secret
    body = to_bytes(stripe_event("checkout.session.completed", checkout_session(None)))

    def post() -> httpx.Response:
        headers = {"Stripe-Signature": sign(body, secret), "Content-Type": "application/json"}
        return httpx.post(f"{url}/webhooks/stripe", content=body, headers=headers, timeout=10)

    assert post().status_code == 200
    with frozen_broker(bench):
        for _ in range(2):
            answer = post()
            assert answer.status_code == 503
            assert answer.elapsed.total_seconds() <= 3.5
            assert httpx.get(f"{url}/healthz").status_code == 200
    wait_until(lambda: post().status_code == 200, 10, "the ingest's recovery")
