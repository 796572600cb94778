"""Fixtures of the orders service: a database, the service on it, a client of its API, and a purchase."""

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config

from services.orders.tests.harness import FakeRefundGateway, OrdersService, Purchase


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


@pytest.fixture
def config() -> Config:
    return Config(
        service="orders",
        port=0,
        broker_url="memory://",
        database_url="sqlite://",
        operator_tokens={"ana": "operator-token-of-ana"},
        stripe_api_key="sk_test_made_up",
        livemode=False,
        allowed_origins=["https://shop.example"],
    )


@pytest.fixture
def gateway() -> FakeRefundGateway:
    return FakeRefundGateway()


@pytest.fixture
def client(config: Config, database: Database, gateway: FakeRefundGateway) -> FlaskClient:
    return create_app(config, database=database, gateway=gateway).test_client()


@pytest.fixture
def service(database: Database) -> OrdersService:
    return OrdersService(database)


@pytest.fixture
def purchase() -> Purchase:
    """The purchase of checkout chk_1."""
    return Purchase("chk_1")
