"""Fixtures of the inventory's tests. Nothing is mocked: the tests use databases and the real runner."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from inventory import ledger, reservations
from inventory.app import create_app
from inventory.chains import CHAINS
from inventory.config import Config
from inventory.models import Movement, Reservation, StockItem
from sqlalchemy import func, select

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
SOON = NOW + timedelta(hours=2)


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


@pytest.fixture
def config() -> Config:
    return Config(
        service="inventory",
        port=0,
        broker_url="memory://",
        database_url="sqlite://",
        operator_tokens={"ana": "operator-token-of-ana"},
        service_token="service-token-of-tests",
        allowed_origins=["https://shop.example"],
    )


@pytest.fixture
def client(config: Config, database: Database) -> FlaskClient:
    return create_app(config, database=database).test_client()


class Stock:
    """The stock of a test: fills, reserves and counts it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def fill(self, **pieces: int) -> Self:
        """Set the opening stock of new skus."""
        ledger.seed(self.database, {"products": [{"sku": sku, "stock": stock} for sku, stock in pieces.items()]})
        return self

    def reserve(self, checkout_id: str, until: datetime = SOON, **lines: int) -> bool:
        """Reserve lines for a checkout; return True if its reservation is new."""
        with self.database.begin() as session:
            return reservations.reserve(session, checkout_id, until, lines.items(), NOW)[1]

    def release(self, checkout_id: str) -> bool:
        """Release a checkout's reservation."""
        with self.database.begin() as session:
            reservation = reservations.lock_reservation(session, checkout_id)
            assert reservation is not None
            return reservations.release(session, reservation)

    def extend(self, checkout_id: str, until: datetime) -> bool:
        """Extend a checkout's reservation."""
        with self.database.begin() as session:
            reservation = reservations.lock_reservation(session, checkout_id)
            assert reservation is not None
            return reservations.extend(session, reservation, until, max_percent=100)

    def status(self, checkout_id: str) -> str:
        """Return the status of a checkout's reservation, or `unknown`."""
        with self.database.read() as session:
            reservation = session.get(Reservation, checkout_id)
        return reservation.status if reservation else "unknown"

    def pieces(self) -> Mapping[str, tuple[int, int]]:
        """Return (on hand, reserved) by sku, and assert that the movements add up to the stock on hand."""
        with self.database.read() as session:
            pieces = {row.sku: (row.on_hand, row.reserved) for row in session.scalars(select(StockItem))}
            moved = select(Movement.sku, func.sum(Movement.delta)).group_by(Movement.sku)
            explained = {sku: int(total) for sku, total in session.execute(moved)}
        assert {sku: on_hand for sku, (on_hand, _) in pieces.items()} == explained
        return pieces


@pytest.fixture
def stock(database: Database) -> Stock:
    return Stock(database)


@pytest.fixture
def stock_in() -> Callable[[Database], Stock]:
    return Stock


@pytest.fixture
def now() -> datetime:
    return NOW
