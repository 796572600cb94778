"""Fixtures of the reconciliation tests: a shop at the fake Stripe, and the command."""

import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from events import stripe_api
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from orders.__main__ import main
from orders.chains import CHAINS

from demo.fake_stripe.server import FakeStripe
from services.orders.tests.integration.reconciliation.shop import HOUR, Reconcile, Shop


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


@pytest.fixture
def clock() -> dict[str, float]:
    """The seconds by which Stripe's clock is behind, so that new objects are older than `MIN_CHANGE_AGE`."""
    return {"behind": HOUR}


@pytest.fixture
def shop(clock: dict[str, float], database: Database) -> Iterator[Shop]:
    fake = FakeStripe(followup_delay=HOUR, sepa_delay=HOUR, time_source=lambda: time.time() - clock["behind"])
    with fake, stripe_api.closing_client("sk_test_x", fake.url) as client:
        yield Shop(fake, client, database)


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    monkeypatch.setattr(stripe_api, "MAX_RETRIES", 0)
    environment = {
        "DATABASE_URL": str(shop.database.engine.url),
        "BROKER_URL": "memory://",
        "OPERATOR_TOKENS": "ana:operator-token-of-ana",
        "STRIPE_API_KEY": "sk_test_x",
        "LIVEMODE": "false",
        "STRIPE_API_BASE": shop.fake.url,
    }
    return lambda *arguments: CliRunner().invoke(main, ["reconcile", *arguments], env=environment)
