"""Purchases with real processes, PostgreSQL and RabbitMQ: cart, signed event, order, stock, e-mail."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from events.testing import http
from events.testing.fixtures import empty_queues, postgres_databases
from events.testing.stripe import charge, checkout_session, sign, stripe_event, to_bytes
from events.testing.waiting import wait_until

from demo.scenarios.report import results_table, totals_table
from demo.scenarios.run import ScenarioRun
from demo.scenarios.suite import SCENARIOS, run_all
from demo.scenarios.totals import compare_totals
from demo.system import SERVICES

from .processes import WITH_DATABASE, Installation, installation, wait_until_ready


@pytest.fixture(scope="module")
def shared_installation(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, rabbitmq_url: str
) -> Iterator[Installation]:
    empty_queues(rabbitmq_url)
    with (
        postgres_databases(postgres_url) as new_database,
        installation(tmp_path_factory.mktemp("installation"), new_database, rabbitmq_url) as running,
    ):
        yield running


@pytest.fixture
def installed(shared_installation: Installation) -> Installation:
    """Return the installation of all these tests, with every process running. Each test looks at its own purchases."""
    shared_installation.processes.start_stopped()
    wait_until_ready(shared_installation.system)
    return shared_installation


def test_every_kind_of_purchase_has_all_its_effects(installed: Installation) -> None:
    system = installed.system
    results = run_all(system)
    assert {result.scenario for result in results} == set(SCENARIOS)
    assert all(result.ok for result in results), results_table(results)
    totals = compare_totals(system)
    assert totals
    assert all(total.ok for total in totals), totals_table(totals)


def test_killed_workers_lose_nothing_and_repeat_nothing(installed: Installation) -> None:
    system, stripe, processes = installed.system, installed.stripe, installed.processes
    run = ScenarioRun(system, "killed workers")
    before = run.stock("TEE-ORG-WHT-M")
    bought = [run.start_checkout({"TEE-ORG-WHT-M": 1}) for _ in range(4)]
    for service in WITH_DATABASE:
        processes.stop(service, "worker", signal.SIGKILL)
    for purchase in bought:
        stripe.pay(purchase["session_id"], "card", run.email)
    assert stripe.wait_delivered(30), "the ingest must take events while all consumers are down"
    for service in WITH_DATABASE:
        processes.start(service, "worker")
    for purchase in bought:
        run.check("order", "paid", lambda purchase=purchase: run.status(purchase))  # type: ignore[misc]
    run.check("stock", (before[0] - 4, before[1]), lambda: run.stock("TEE-ORG-WHT-M"))
    run.check("e-mails", ["order_confirmed"] * 4, run.customer_emails)
    assert all(result.ok for result in run.results), results_table(run.results)


def test_events_of_another_application_are_stored_as_ignored(installed: Installation) -> None:
    system = installed.system

    def orders() -> list[str]:
        return [row["id"] for row in system.get("orders", "/orders?limit=200", operator=True).json()["items"]]

    before = orders()
    secret = installed.stripe.account.webhooks.endpoints[0].secret
    foreign = [
        stripe_event("checkout.session.completed", checkout_session(None)),
        stripe_event("charge.refunded", charge(None)),
        stripe_event("product.updated", {"id": "prod_1", "object": "product", "metadata": {}}),
    ]
    for event in foreign:
        body = to_bytes(event)
        headers = {"Stripe-Signature": sign(body, secret), "Content-Type": "application/json"}
        posted = http.post(f"{system.urls['webhooks']}/webhooks/stripe", content=body, headers=headers)
        assert posted.status_code == 200

    def ignored() -> set[str]:
        rows = system.get("orders", "/ops/inbox?status=ignored&limit=200", operator=True).json()["items"]
        return {row["event_id"] for row in rows}

    wait_until(lambda: ignored() >= {event["id"] for event in foreign[:2]})
    assert orders() == before
    assert foreign[2]["id"] not in ignored()


def test_nul_in_a_customers_name_does_not_stop_the_order(installed: Installation) -> None:
    run = ScenarioRun(installed.system, "name with NUL")
    checkout = run.start_checkout({"TEE-ORG-WHT-M": 1})
    installed.stripe.pay(checkout["session_id"], "card", run.email, name="Zo\0e", line1="Linden\0weg 7")
    run.check("order", "paid", lambda: run.status(checkout))
    run.check("e-mails", ["order_confirmed"], run.customer_emails)
    assert all(result.ok for result in run.results), results_table(run.results)
    order = run.order(checkout)
    assert (order["customer_name"], order["shipping_address"]["line1"]) == ("Zoe", "Lindenweg 7")


def test_sigterm_ends_every_process_with_exit_code_0(installed: Installation) -> None:
    processes = installed.processes
    codes = {name: processes.stop(*name.split()) for name in list(processes.running)}  # type: ignore[arg-type]
    assert set(codes.values()) == {0}, codes


@pytest.mark.parametrize("service", SERVICES)
def test_start_without_configuration_names_every_missing_setting(service: str) -> None:
    done = subprocess.run([sys.executable, "-m", service, "web"], env={}, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"BROKER_URL" in done.stderr
    assert (b"STRIPE_WEBHOOK_SECRETS" if service == "webhooks" else b"OPERATOR_TOKENS") in done.stderr
