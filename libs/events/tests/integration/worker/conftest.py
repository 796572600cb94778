"""Fixtures of the worker tests: its database and handlers, a publisher, and workers that end with the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from events.config import Common
from events.database.engine import Database
from events.errors import Ignored, NotYet
from events.messaging import publisher as publishers
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase
from sqlalchemy import text
from sqlalchemy.orm import Session


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    made = postgres_database((INBOX, OUTBOX))
    with made.begin() as session:
        session.execute(text("CREATE TABLE effects (checkout_id text)"))
    return made


@pytest.fixture
def handlers() -> Handlers:
    registry = Handlers()

    @registry.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.data["checkout_id"]})

    @registry.on("stripe.checkout.session.completed")
    def refuse(event: Event, session: Session) -> None:
        match event.object["id"]:
            case "cs_ignored":
                raise Ignored("not ours")
            case "cs_waiting":
                raise NotYet("no order yet")
            case "cs_broken":
                session.execute(text("INSERT INTO effects VALUES ('half done')"))
                raise ValueError("defect")

    return registry


@pytest.fixture
def publish(broker_url: str, patient_publishers: None) -> Iterator[Callable[..., None]]:
    publisher = publishers.connect(broker_url)

    def send(*events: Event) -> None:
        for future in [publisher.publish(event) for event in events]:
            publisher.wait(future)

    yield send
    publisher.close()


@pytest.fixture
def start(broker_url: str, database: Database, handlers: Handlers) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**options: Any) -> Worker:
        config = Common(service="orders", port=0, broker_url=broker_url)
        started.append(Worker(config, database, handlers, **options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()
