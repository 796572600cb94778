"""A customer forgotten by command: she is in no database any more, and the books still fit Stripe's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from events.database.engine import Database
from events.testing.columns import columns_with
from events.testing.servers import wait_until

from demo.fake_stripe.server import FakeStripe
from demo.scenarios.report import results_table
from demo.scenarios.run import ScenarioRun
from demo.system import System

from .processes import WITH_DATABASE, Fleet, fleet

SKU = "TEE-ORG-WHT-M"
TYPED = {"name": "Zoë Weißenbrück", "line1": "Lindenweg 7", "city": "Wolkenkuckucksheim", "phone": "+49 30 7654321"}
HER = (*TYPED.values(), "JD0146000", "her neighbour")
ASKED_FOR = {"SHIPPING_COUNTRIES": "DE", "COLLECT_PHONE": "true"}


@pytest.fixture
def up(tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str) -> Iterator[tuple[System, Fleet]]:
    with fleet(tmp_path, new_postgres_url, broker_url, settings=ASKED_FOR) as running:
        yield running


@pytest.fixture
def databases(up: tuple[System, Fleet]) -> Iterator[dict[str, Database]]:
    made = {service: Database(up[1].setting(service, "DATABASE_URL")) for service in WITH_DATABASE}
    yield made
    for database in made.values():
        database.dispose()


@pytest.mark.timeout(240)
def test_forgotten_customer_is_in_no_database_and_does_not_come_back(
    up: tuple[System, Fleet], databases: dict[str, Database]
) -> None:
    system, processes = up
    stripe = system.stripe
    assert isinstance(stripe, FakeStripe)
    play = ScenarioRun(system, "forgotten")
    her = (play.email, *HER)

    def found() -> dict[str, list[str]]:
        looked = {service: columns_with(database, *her) for service, database in databases.items()}
        return {service: columns for service, columns in looked.items() if columns}

    bought = play.start_checkout({SKU: 2}, locale="de")
    stripe.pay(bought["session_id"], "card", play.email, **TYPED)
    play.check("order", "paid", lambda: play.status(bought))
    assert play.operate(bought, "refunds", amount=500, note="her neighbour called").status_code == 201
    assert play.operate(bought, "shipments", all=True, carrier="DHL", tracking="JD014600003").status_code == 201
    play.check("e-mails", ["order_confirmed", "order_shipped", "refund_succeeded"], play.customer_emails)
    assert {"orders.shipping_address", "orders.customer_phone", "timeline_entries.text"} <= set(found()["orders"])
    assert set(found()) == {"checkout", "orders", "notifications"}

    processes.command("orders", "erase-customer", "--email", play.email.upper(), "--reason", "ticket 12")
    wait_until(lambda: found() == {}, what="nobody knows her")
    assert play.order_field(bought, "shipping_address") == {"country": "DE", "state": None}

    stripe.refund(bought["session_id"], amount=700)
    with stripe.account.store.lock:
        stripe.account.emit("checkout.session.completed", stripe.session(bought["session_id"]))
    at_stripe = {name: processes.setting("orders", name) for name in ("STRIPE_API_KEY", "STRIPE_API_BASE")}
    processes.command("webhooks", "backfill", "--since", "1h", **at_stripe)
    assert stripe.wait_delivered(30)
    play.check("refunded after", 1200, lambda: play.order_field(bought, "amount_refunded"))
    play.check("handled", [], lambda: _unfinished(system))
    processes.command("orders", "reconcile", "--since", "1h", "--repair")
    assert all(finding.ok for finding in play.results), results_table(play.results)
    assert found() == {}
    assert _logs_with(processes, her) == []


def _unfinished(system: System) -> list[str]:
    return [
        row["event_id"]
        for service in WITH_DATABASE
        for status in ("waiting", "retrying", "failed")
        for row in system.get(service, f"/ops/inbox?status={status}", operator=True).json()["items"]
    ]


def _logs_with(processes: Fleet, words: tuple[str, ...]) -> list[str]:
    logs = {name: processes.log(*name.split()) for name in processes.processes}
    return [name for name, text in logs.items() if any(word.lower() in text.lower() for word in words)]
