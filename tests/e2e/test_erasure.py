"""Erasure of a customer by command: no database contains their data afterwards, and the books still match Stripe's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from events.database.engine import Database
from events.testing.columns import columns_with
from events.testing.waiting import wait_until

from demo.scenarios.report import results_table
from demo.scenarios.run import ScenarioRun
from demo.system import System

from .processes import WITH_DATABASE, Installation, ServiceProcesses, installation

SKU = "TEE-ORG-WHT-M"
TYPED = {"name": "Zoë Weißenbrück", "line1": "Lindenweg 7", "city": "Wolkenkuckucksheim", "phone": "+49 30 7654321"}
NOTE, TRACKING = "their neighbor called", "JD014600003"
PERSONAL_WORDS = (*TYPED.values(), NOTE, TRACKING)
COLLECTED = {"SHIPPING_COUNTRIES": "DE", "COLLECT_PHONE": "true"}


@pytest.fixture
def installed(tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str) -> Iterator[Installation]:
    with installation(tmp_path, new_postgres_url, broker_url, settings=COLLECTED) as running:
        yield running


@pytest.fixture
def databases(installed: Installation) -> Iterator[dict[str, Database]]:
    made = {service: Database(installed.processes.setting(service, "DATABASE_URL")) for service in WITH_DATABASE}
    yield made
    for database in made.values():
        database.dispose()


@pytest.mark.timeout(240)
def test_erased_customer_is_in_no_database_and_stays_erased(
    installed: Installation, databases: dict[str, Database]
) -> None:
    system, stripe, processes = installed.system, installed.stripe, installed.processes
    run = ScenarioRun(system, "erased")
    words = (run.email, *PERSONAL_WORDS)

    def columns() -> dict[str, list[str]]:
        by_service = {service: columns_with(database, *words) for service, database in databases.items()}
        return {service: found for service, found in by_service.items() if found}

    bought = run.start_checkout({SKU: 2}, locale="de")
    stripe.pay(bought["session_id"], "card", run.email, 0.0, **TYPED)
    run.check("order", "paid", lambda: run.status(bought))
    assert run.operate(bought, "refunds", amount=500, note=NOTE).status_code == 201
    assert run.operate(bought, "shipments", all=True, carrier="DHL", tracking=TRACKING).status_code == 201
    run.check("e-mails", ["order_confirmed", "order_shipped", "refund_succeeded"], run.customer_emails)
    assert {"orders.shipping_address", "orders.customer_phone", "timeline_entries.text"} <= set(columns()["orders"])
    assert set(columns()) == {"checkout", "orders", "notifications"}

    processes.run_command("orders", "erase-customer", "--email", run.email.upper(), "--reason", "ticket 12")
    wait_until(lambda: columns() == {}, what="the erasure in every service")
    assert run.order_field(bought, "shipping_address") == {"country": "DE", "state": None}

    stripe.refund(bought["session_id"], amount=700)
    with stripe.account.store.lock:
        stripe.account.emit("checkout.session.completed", stripe.session(bought["session_id"]))
    for_stripe = {name: processes.setting("orders", name) for name in ("STRIPE_API_KEY", "STRIPE_API_BASE")}
    processes.run_command("webhooks", "backfill", "--since", "1h", **for_stripe)
    assert stripe.wait_delivered(30)
    run.check("refunded after", 1200, lambda: run.order_field(bought, "amount_refunded"))
    run.check("handled", [], lambda: unfinished_event_ids(system))
    processes.run_command("orders", "reconcile", "--since", "1h", "--repair")
    assert all(result.ok for result in run.results), results_table(run.results)
    assert columns() == {}
    assert logs_with(processes, words) == []


def unfinished_event_ids(system: System) -> list[str]:
    return [
        row["event_id"]
        for service in WITH_DATABASE
        for status in ("waiting", "retrying", "failed")
        for row in system.get(service, f"/ops/inbox?status={status}", operator=True).json()["items"]
    ]


def logs_with(processes: ServiceProcesses, words: tuple[str, ...]) -> list[str]:
    logs = {name: processes.log(*name.split()) for name in processes.running}
    return [name for name, text in logs.items() if any(word.lower() in text.lower() for word in words)]
