"""The drill of docs/operations.md: a database set back to its backup catches up, and its siblings repeat nothing."""

import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
from events.testing.servers import wait_until
from psycopg import sql

from demo.scenarios.report import results_table
from demo.scenarios.run import ScenarioRun
from demo.system import System

from .processes import Fleet, fleet

SKU = "TEE-ORG-WHT-M"


def test_orders_restored_from_a_backup_catch_up(
    tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str
) -> None:
    with fleet(tmp_path, new_postgres_url, broker_url) as (system, processes):
        play = ScenarioRun(system, "restored")
        before = play.stock(SKU)
        kept = _buy(play)
        _offline(system, processes, _copy)
        lost = _buy(play)
        _offline(system, processes, _restore)

        play.check("forgotten", None, lambda: play.status(lost))
        processes.command("checkout", "outbox", "republish", "--since", "1h")
        at_stripe = {name: processes.setting("orders", name) for name in ("STRIPE_API_KEY", "STRIPE_API_BASE")}
        processes.command("webhooks", "backfill", "--since", "1h", **at_stripe)
        play.check("order of before", "paid", lambda: play.status(kept))
        play.check("order of since", "paid", lambda: play.status(lost))
        play.check("stock", (before[0] - 2, before[1]), lambda: play.stock(SKU))
        play.check("e-mails", ["order_confirmed"] * 2, play.customer_emails)
        assert all(finding.ok for finding in play.results), results_table(play.results)
        processes.command("orders", "reconcile", "--since", "1h")


def _buy(play: ScenarioRun) -> dict[str, object]:
    bought = play.start_checkout({SKU: 1})
    play.system.stripe.pay(bought["session_id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(bought))
    return bought


def _offline(system: System, processes: Fleet, act: Callable[[str], None]) -> None:
    """Do something to the orders' database while nobody is connected to it."""
    for kind in ("web", "worker"):
        processes.signal("orders", kind, signal.SIGTERM)
    act(processes.setting("orders", "DATABASE_URL"))
    for kind in ("web", "worker"):
        processes.start("orders", kind)
    ready = f"{system.urls['orders']}/readyz"
    wait_until(lambda: httpx.get(ready).status_code == 200, what=ready)


def _copy(url: str) -> None:
    _administer(url, "CREATE DATABASE {backup} TEMPLATE {name}")


def _restore(url: str) -> None:
    _administer(url, "DROP DATABASE {name}")
    _administer(url, "ALTER DATABASE {backup} RENAME TO {name}")


def _administer(url: str, statement: str) -> None:
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    names = {"name": sql.Identifier(name), "backup": sql.Identifier(f"{name}_backup")}
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(**names))
