"""The whole road with real processes, PostgreSQL and RabbitMQ: cart, signed event, order, stock, e-mail."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from events.testing.fixtures import empty_queues, postgres_databases
from events.testing.servers import wait_until
from events.testing.stripe import charge, checkout_session, sign, stripe_event, to_bytes

from demo.scenarios.report import results_table, totals_table
from demo.scenarios.run import ScenarioRun
from demo.scenarios.suite import SCENARIOS, run_all
from demo.scenarios.totals import compare_totals
from demo.system import SERVICES, System

from .processes import WITH_DATABASE, Fleet, fleet, wait_until_ready


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, rabbitmq_url: str
) -> Iterator[tuple[System, Fleet]]:
    empty_queues(rabbitmq_url)
    with (
        postgres_databases(postgres_url) as new_database,
        fleet(tmp_path_factory.mktemp("fleet"), new_database, rabbitmq_url) as running,
    ):
        yield running


@pytest.fixture
def up(installed: tuple[System, Fleet]) -> tuple[System, Fleet]:
    """One installation for all, with every process running; each test looks at what it has bought itself."""
    system, processes = installed
    processes.start_missing()
    wait_until_ready(system)
    return system, processes


def test_every_kind_of_purchase_has_all_its_effects(up: tuple[System, Fleet]) -> None:
    system, _ = up
    findings = run_all(system)
    assert {finding.scenario for finding in findings} == set(SCENARIOS)
    assert all(finding.ok for finding in findings), results_table(findings)
    sums = compare_totals(system)
    assert sums
    assert all(one.ok for one in sums), totals_table(sums)


def test_workers_killed_and_restarted_lose_nothing_and_repeat_nothing(up: tuple[System, Fleet]) -> None:
    system, processes = up
    play = ScenarioRun(system, "killed workers")
    before = play.stock("TEE-ORG-WHT-M")
    bought = [play.start_checkout({"TEE-ORG-WHT-M": 1}) for _ in range(4)]
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
    play.check("e-mails", ["order_confirmed"] * 4, play.customer_emails)
    assert all(finding.ok for finding in play.results), results_table(play.results)


def test_strangers_events_are_taken_and_change_nothing(up: tuple[System, Fleet]) -> None:
    """Another application on the same Stripe account: acknowledged, recorded as ignored, no order made."""
    system, _ = up

    def orders() -> list[str]:
        return [row["id"] for row in system.get("orders", "/orders?limit=200", operator=True).json()["items"]]

    before = orders()
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

    def ignored() -> set[str]:
        rows = system.get("orders", "/ops/inbox?status=ignored&limit=200", operator=True).json()["items"]
        return {row["event_id"] for row in rows}

    wait_until(lambda: ignored() >= {event["id"] for event in foreign[:2]})
    assert orders() == before
    assert foreign[2]["id"] not in ignored()


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
