"""The restore drill of docs/operations.md: a restored database catches up, and no service repeats an effect."""

import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from events.testing import http
from events.testing.waiting import wait_until
from psycopg import sql

from demo.scenarios.report import results_table
from demo.scenarios.run import ScenarioRun

from .processes import Installation, installation

SKU = "TEE-ORG-WHT-M"


def test_orders_restored_from_a_backup_catches_up(
    tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str
) -> None:
    with installation(tmp_path, new_postgres_url, broker_url) as installed:
        processes = installed.processes
        run = ScenarioRun(installed.system, "restored")
        before = run.stock(SKU)
        kept = buy(run)
        while_orders_is_stopped(installed, copy_database)
        lost = buy(run)
        while_orders_is_stopped(installed, restore_database)

        run.check("order since the backup", None, lambda: run.status(lost))
        processes.run_command("checkout", "outbox", "republish", "--since", "1h")
        for_stripe = {name: processes.setting("orders", name) for name in ("STRIPE_API_KEY", "STRIPE_API_BASE")}
        processes.run_command("webhooks", "backfill", "--since", "1h", **for_stripe)
        run.check("order in the backup", "paid", lambda: run.status(kept))
        run.check("order since the backup", "paid", lambda: run.status(lost))
        run.check("stock", (before[0] - 2, before[1]), lambda: run.stock(SKU))
        run.check("e-mails", ["order_confirmed"] * 2, run.customer_emails)
        assert all(result.ok for result in run.results), results_table(run.results)
        processes.run_command("orders", "reconcile", "--since", "1h")


def buy(run: ScenarioRun) -> dict[str, object]:
    bought = run.start_checkout({SKU: 1})
    run.system.stripe.pay(bought["session_id"], "card", run.email)
    run.check("order", "paid", lambda: run.status(bought))
    return bought


def while_orders_is_stopped(installed: Installation, act: Callable[[str], None]) -> None:
    """Stop orders, do something to its database by its URL, and start orders again."""
    processes = installed.processes
    for kind in ("web", "worker"):
        processes.stop("orders", kind, signal.SIGTERM)
    act(processes.setting("orders", "DATABASE_URL"))
    for kind in ("web", "worker"):
        processes.start("orders", kind)
    ready_url = f"{installed.system.urls['orders']}/readyz"
    wait_until(lambda: http.get(ready_url).status_code == 200, what=ready_url)


def copy_database(url: str) -> None:
    execute(url, "CREATE DATABASE {backup} TEMPLATE {name}")


def restore_database(url: str) -> None:
    execute(url, "DROP DATABASE {name}")
    execute(url, "ALTER DATABASE {backup} RENAME TO {name}")


def execute(url: str, statement: str) -> None:
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    names = {"name": sql.Identifier(name), "backup": sql.Identifier(f"{name}_backup")}
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(**names))
