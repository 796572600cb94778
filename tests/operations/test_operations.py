"""The life of an installation in production form, by the commands of docs/operations.md, under 20 events a second.

It is one test: each command works on what the commands before it have left. Nothing may be lost, and no command may
change the settings of a container.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from events.testing.waiting import wait_until

from demo.scenarios.run import ScenarioRun
from demo.scenarios.totals import compare_totals
from demo.system import System

from . import steps
from .installation import PROJECT, Installation
from .load import EventSource, wait_until_handled

SKU = "BEA-RIB-RUS-OS"
STRIPE_URL = "http://127.0.0.1:8010"
RATIO_OF_RATE = 0.5  # of the events that the load must have created: a busy machine creates fewer than it should

pytestmark = pytest.mark.timeout(7200)


def configure(installation: Installation) -> None:
    """Run the documented `make configure`. Stripe and the mail server are those of the demo."""
    replaced = {
        "sk_live_…": installation.key,
        "whsec_…": installation.secret,
        "smtps://user:password@mail.example": "'smtp://mailpit:1025/?starttls=never'",
        "LIVEMODE=true": "LIVEMODE=false",
    }
    extra = {"STRIPE_API_BASE": "http://fake-stripe:12111", "COMPOSE_PROJECT_NAME": PROJECT}
    installation.run_documented(steps.CONFIGURE, replaced, **extra)
    (installation.folder / ".secrets" / "operator_tokens").write_text(f"ana:{installation.OPERATOR_TOKEN}")


@contextmanager
def same_settings(installation: Installation) -> Iterator[None]:
    """Check that the block changes no setting of any container."""
    before = installation.settings()
    yield
    after = installation.settings()
    assert {name: after[name] for name in before if after.get(name) != before[name]} == {}


def upgrade(installation: Installation, version: str) -> None:
    """Replace all processes by those of a version, as documented."""
    with same_settings(installation):
        installation.run_documented(steps.UPGRADE, {"VERSION=0.2.0": f"VERSION={version}"})
    assert installation.versions() == {version}


def secret_of(installation: Installation, name: str) -> str:
    return (installation.folder / ".secrets" / name).read_text().strip()


def rotate_all(installation: Installation) -> None:
    """Rotate each secret as documented, and check that the servers refuse the old passwords."""
    names = ["orders_database_url", "postgres_password", "orders_broker_url", "service_token"]
    before = {name: secret_of(installation, name) for name in names}
    with same_settings(installation):
        installation.run_documented(steps.ROTATE_OWN, {})
        mail = "'smtp://mailpit:1025/?starttls=never'"
        replaced = {
            "sk_live_…": f"{installation.key}2",
            "whsec_…,whsec_…": f"{installation.secret},whsec_second",
            "smtps://user:password@mail.example": mail,
            "ana:…,ben:…": f"ana:{installation.OPERATOR_TOKEN},ben:operator-token-of-ben",
        }
        installation.run_documented(steps.ROTATE_GIVEN, replaced)
    assert {
        name: secret_of(installation, name) for name in names if secret_of(installation, name) == before[name]
    } == {}
    assert connect(installation, secret_of(installation, "orders_database_url")) == "connected"
    assert "password" in connect(installation, before["orders_database_url"])
    administrator = "postgresql://postgres:{}@postgres:5432/postgres"
    assert "password" in connect(installation, administrator.format(before["postgres_password"]))
    new = administrator.format(secret_of(installation, "postgres_password"))
    assert connect(installation, new) == "connected"
    assert log_in(installation, before["orders_broker_url"]) == "ProbableAuthenticationError"
    assert log_in(installation, secret_of(installation, "orders_broker_url")) == "connected"


CONNECT = """
import sys, psycopg
try:
    psycopg.connect(sys.argv[1], connect_timeout=10).close()
    print("connected")
except psycopg.OperationalError as error:
    print(str(error).replace(chr(10), " "))
"""
LOG_IN = """
import sys, pika
try:
    pika.BlockingConnection(pika.URLParameters(sys.argv[1])).close()
    print("connected")
except pika.exceptions.AMQPError as error:
    print(type(error).__name__)
"""


def connect(installation: Installation, url: str) -> str:
    return installation.run(f"docker compose exec -T orders python -c '{CONNECT}' '{url}'").strip()


def log_in(installation: Installation, url: str) -> str:
    return installation.run(f"docker compose exec -T orders python -c '{LOG_IN}' '{url}'").strip().splitlines()[-1]


def buy(run: ScenarioRun) -> dict[str, object]:
    """Buy one piece, and check that the order is paid."""
    bought = run.start_checkout({SKU: 1})
    run.system.stripe.pay(bought["session_id"], "card", run.email)
    run.check("order", "paid", lambda: run.status(bought))
    return bought


def test_documented_commands_lose_nothing_under_load(installation: Installation, system: System) -> None:
    configure(installation)
    installation.run_documented(steps.START, {})
    installation.run("docker compose up -d --no-deps --no-build mailpit fake-stripe")
    installation.run(
        "docker compose run --rm --no-deps checkout-seed; docker compose run --rm --no-deps inventory-seed"
    )
    run = ScenarioRun(system, "operations")
    stock = run.stock(SKU)
    first = buy(run)
    [charge] = system.stripe.ledger["charges"]

    with EventSource(STRIPE_URL, charge["id"]) as source:
        before = installation.running_ids()
        with same_settings(installation):
            installation.run_documented(steps.SCALE, {})
        assert before - installation.running_ids() == set(), "a change of scale replaces no container"
        assert (installation.count("orders-worker"), installation.count("webhooks")) == (4, 3)
        upgrade(installation, "next")
        upgrade(installation, "dev")
        assert (installation.count("orders-worker"), installation.count("webhooks")) == (4, 3)
        rotate_all(installation)
        second = buy(run)
        installation.run_documented(steps.BACKUP, {})
        third = buy(run)
        with same_settings(installation):
            installation.run_documented(steps.RESTORE, {})
            installation.run_documented(steps.SWAP, {})
            wait_until(lambda: catches_up(installation), 900, "a reconciliation without differences")
        fourth = buy(run)

    assert len(source.created) > RATIO_OF_RATE * 20 * source.seconds
    wait_until(lambda: run.status(third) == "paid", 120, "the order since the backup")
    wait_until_handled(system, source.created)
    for bought in (first, second, third, fourth):
        run.check("order", "paid", lambda bought=bought: run.status(bought))  # type: ignore[misc]
    run.check("stock", (stock[0] - 4, stock[1]), lambda: run.stock(SKU))
    run.check("e-mails", ["order_confirmed"] * 4, run.customer_emails)
    assert [result for result in run.results if not result.ok] == []
    assert [one for one in compare_totals(system) if not one.ok] == []
    erase(installation, run)
    for bought in (first, second, third, fourth):
        assert run.email not in str(run.order(bought))
    logs_name_no_customer(installation, run)


def catches_up(installation: Installation) -> bool:
    """Run the documented commands after a restore. They fail while anything differs, and can be repeated."""
    installation.run_documented(steps.CATCH_UP, {})
    return True


def erase(installation: Installation, run: ScenarioRun) -> None:
    """Erase the customer as documented, with the address as an option because no person types it."""
    replaced = {
        "exec orders-worker service erase-customer --dry-run": "exec -T orders-worker service erase-customer"
        f" --email {run.email} --even-open --dry-run",
        "exec orders-worker service erase-customer --reason": "exec -T orders-worker service erase-customer"
        f" --email {run.email} --even-open --reason",
        "docker compose exec orders-worker service erase-customer --checkout-id chk_… --json": "true",
    }
    installation.run_documented(steps.ERASE, replaced)


QUERY = """
import sys, psycopg
url, email = open("/run/secrets/orders_database_url").read(), sys.argv[1]
with psycopg.connect(url, autocommit=True) as connection:
    connection.execute("SELECT pg_sleep(1), %s::text", (email,))
    connection.execute("CREATE TEMP TABLE customers (email text UNIQUE)")
    for _ in range(2):
        connection.execute("INSERT INTO customers VALUES (%s)", (email,))
"""


def logs_name_no_customer(installation: Installation, run: ScenarioRun) -> None:
    """Check the log of PostgreSQL, after a slow statement and an error that have a customer's address."""
    installation.run(f"docker compose exec -T orders python -c '{QUERY}' {run.email} || true")
    log = installation.run("docker compose logs --no-log-prefix postgres")
    assert "pg_sleep" in log
    assert "duplicate key value" in log
    assert run.email not in log
