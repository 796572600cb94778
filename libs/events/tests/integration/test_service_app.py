"""A service's web routes while its database is away or has no free connection."""

import time
from contextlib import ExitStack

import pytest
from events.config import Common
from events.database.engine import POOL_SIZE, POOL_TIMEOUT_S, Database
from events.messaging.chains import INBOX
from events.testing.fixtures import MakeDatabase
from events.testing.ports import free_port
from events.testing.waiting import wait_until
from events.web.service import create_service_app
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from sqlalchemy import text

TOKEN = "operator-token-0123"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def client_of(database: Database) -> FlaskClient:
    config = Common(service="orders", port=0, broker_url="memory://", operator_tokens={"zoe": TOKEN})
    app = create_service_app(
        config,
        database,
        [INBOX],
        Blueprint("service", __name__),
        dependencies=None,
        register_problems=lambda _app: None,
    )

    @app.get("/wrong")
    def wrong() -> dict[str, str]:
        with database.read() as session:
            session.execute(text("SELECT nothing"))
        return {}

    return app.test_client()


def assert_unavailable(client: FlaskClient) -> None:
    answer = client.get("/ops/inbox", headers=AUTHORIZED)
    assert answer.status_code == 503
    assert answer.get_json()["type"] == "urn:clozit:problem:database-unavailable"
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("url", ["postgresql://u:p@127.0.0.1:{port}/orders", "sqlite:////no/such/folder/{port}.db"])
def test_route_is_unavailable_while_its_database_is_away(url: str) -> None:
    assert_unavailable(client_of(Database(url.format(port=free_port()))))


def test_route_without_a_free_connection_is_unavailable(postgres_database: MakeDatabase) -> None:
    database = postgres_database([INBOX])
    client = client_of(database)
    assert client.get("/ops/inbox", headers=AUTHORIZED).status_code == 200
    with ExitStack() as busy:
        for _ in range(2 * POOL_SIZE):
            busy.enter_context(database.engine.connect())
        began = time.monotonic()
        assert_unavailable(client)
        assert time.monotonic() - began < 2 * POOL_TIMEOUT_S
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert "clozit_inbox_events" not in metrics.text
    assert client.get("/ops/inbox", headers=AUTHORIZED).status_code == 200
    wait_until(lambda: "clozit_inbox_events" in client.get("/metrics").text, 30, "the backlog metrics")


def test_wrong_statement_is_a_defect(postgres_database: MakeDatabase) -> None:
    assert client_of(postgres_database([INBOX])).get("/wrong").status_code == 500
