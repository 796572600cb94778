"""The whole road with real processes, PostgreSQL and RabbitMQ: cart, signed event, order, stock, e-mail."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from events.testing.servers import wait_until
from events.testing.stripe import charge, checkout_session, sign, stripe_event, to_bytes

from demo.__main__ import table, table_of_sums
from demo.scenarios import Play, play_all
from demo.sums import compare
from demo.system import SERVICES, System

from .processes import WITH_DATABASE, Fleet, fleet


@pytest.fixture
def up(tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str) -> Iterator[tuple[System, Fleet]]:
    with fleet(tmp_path, new_postgres_url, broker_url) as running:
        yield running


@pytest.mark.timeout(240)
def test_every_kind_of_purchase_has_all_its_effects(up: tuple[System, Fleet]) -> None:
    system, _ = up
    findings = play_all(system)
    assert all(finding.ok for finding in findings), table(findings)
    sums = compare(system)
    assert all(one.ok for one in sums), table_of_sums(sums)


@pytest.mark.timeout(240)
def test_workers_killed_and_restarted_lose_nothing_and_repeat_nothing(up: tuple[System, Fleet]) -> None:
    system, processes = up
    play = Play(system, "killed workers")
    before = play.stock("TEE-ORG-WHT-M")
    bought = [play.buy({"TEE-ORG-WHT-M": 1}) for _ in range(4)]
    for service in WITH_DATABASE:
        processes.signal(service, "worker", signal.SIGKILL)
    for purchase in bought:
        system.stripe.pay(purchase["session_id"], "card", play.email)
    assert system.stripe.wait_delivered(30), "the ingest takes events while all consumers are down"
    for service in WITH_DATABASE:
        processes.start(service, "worker")
    for purchase in bought:
        play.check("order", "paid", lambda purchase=purchase: play.status(purchase))  # type: ignore[misc]
    play.check("stock", (before[0] - 4, before[1]), lambda: play.stock("TEE-ORG-WHT-M"))
    play.check("e-mails", ["order_confirmed"] * 4, play.mails)
    assert all(finding.ok for finding in play.findings), table(play.findings)


@pytest.mark.timeout(240)
def test_strangers_events_are_taken_and_change_nothing(up: tuple[System, Fleet]) -> None:
    """Another application on the same Stripe account: acknowledged, recorded as ignored, no order made."""
    system, _ = up
    secret = system.stripe.account.webhooks.endpoints[0].secret
    foreign = [
        stripe_event("checkout.session.completed", checkout_session(None)),
        stripe_event("charge.refunded", charge(None)),
        stripe_event("product.updated", {"id": "prod_1", "object": "product", "metadata": {}}),
    ]
    for event in foreign:
        body = to_bytes(event)
        headers = {"Stripe-Signature": sign(body, secret), "Content-Type": "application/json"}
        posted = httpx.post(f"{system.urls['webhooks']}/webhooks/stripe", content=body, headers=headers)
        assert posted.status_code == 200

    def ignored() -> list[str]:
        rows = system.get("orders", "/ops/inbox?status=ignored", operator=True).json()["items"]
        return sorted(row["event_id"] for row in rows)

    wait_until(lambda: ignored() == sorted(event["id"] for event in foreign[:2]))
    assert system.get("orders", "/orders", operator=True).json()["items"] == []


@pytest.mark.timeout(240)
def test_every_process_stops_cleanly_on_sigterm(up: tuple[System, Fleet]) -> None:
    _, processes = up
    codes = {name: processes.signal(*name.split(), signal.SIGTERM) for name in list(processes.processes)}  # type: ignore[arg-type]
    assert set(codes.values()) == {0}, codes


@pytest.mark.parametrize("service", SERVICES)
def test_start_without_configuration_names_all_that_is_missing(service: str) -> None:
    done = subprocess.run([sys.executable, "-m", service, "web"], env={}, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"BROKER_URL" in done.stderr
    assert (b"STRIPE_WEBHOOK_SECRETS" if service == "webhooks" else b"OPERATOR_TOKENS") in done.stderr
