"""The inventory's tests mock nothing: what it needs is a database, and events that the real runner delivers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from inventory import ledger, reservations
from inventory.app import create_app
from inventory.config import Config
from inventory.models import CHAINS, Movement, Reservation, Stock
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
        operator_tokens={"ana": "operator-token-of-ana"},
        service_token="service-token-of-tests",
        allowed_origins=["https://shop.example"],
    )


@pytest.fixture
def client(config: Config, database: Database) -> FlaskClient:
    return create_app(config, database=database).test_client()


class Shelf:
    """Puts stock on the shelf, reserves it, and counts what is there."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def fill(self, **pieces: int) -> "Shelf":
        ledger.seed(self.database, {"products": [{"sku": sku, "stock": stock} for sku, stock in pieces.items()]})
        return self

    def reserve(self, checkout_id: str, until: datetime = SOON, **lines: int) -> bool:
        with self.database.begin() as session:
            return reservations.reserve(session, checkout_id, until, lines.items(), NOW)[1]

    def status(self, checkout_id: str) -> str:
        with self.database.read() as session:
            reservation = session.get(Reservation, checkout_id)
        return reservation.status if reservation else "unknown"

    def pieces(self) -> Mapping[str, tuple[int, int]]:
        """(on hand, reserved) by sku; on hand is what the ledger explains."""
        with self.database.read() as session:
            stock = {row.sku: (row.on_hand, row.reserved) for row in session.scalars(select(Stock))}
            moved = select(Movement.sku, func.sum(Movement.delta)).group_by(Movement.sku)
            explained = {sku: int(total) for sku, total in session.execute(moved)}
        assert {sku: on_hand for sku, (on_hand, _) in stock.items()} == explained
        return stock


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


@pytest.fixture
def shelf_on() -> Callable[[Database], Shelf]:
    return Shelf


@pytest.fixture
def now() -> datetime:
    return NOW
