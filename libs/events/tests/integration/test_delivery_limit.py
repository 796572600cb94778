"""The delivery limit: only a message that kills its consumer each time becomes a dead letter."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from events.database.engine import Database
from events.messaging import publisher as publishers
from events.messaging import topology
from events.messaging.chains import INBOX
from events.messaging.event import own_event
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from kombu import Connection
from sqlalchemy import text

pytestmark = pytest.mark.usefixtures("patient_publishers")

# One process that starts a new worker process after each death, as an orchestrator would; each death is a line.
ORCHESTRATOR = """
import os, sys
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from sqlalchemy import text

handlers = Handlers()

@handlers.on("checkout.checkout.canceled")
def record(event, session):
    if event.id == "evt_killer":
        os._exit(9)
    session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})

def work():
    config = Common(service="orders", port=0, broker_url=sys.argv[1])
    Worker(config, Database(sys.argv[2]), handlers, publishes=False).run()

while True:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def test_message_that_kills_consumers_is_dead_lettered_alone(
    postgres_database: MakeDatabase, broker_url: str, tmp_path: Path
) -> None:
    database = postgres_database([INBOX])
    with database.begin() as session:
        session.execute(text("CREATE TABLE effects (event_id text)"))
    ids = [f"evt_{number}" for number in range(30)]
    publish(broker_url, [*ids[:10], "evt_killer", *ids[10:]])
    url = database.engine.url.render_as_string(hide_password=False)
    output = tmp_path / "deaths"
    with output.open("w") as file:
        orchestrator = subprocess.Popen(
            [sys.executable, "-c", ORCHESTRATOR, broker_url, url],
            stdout=file,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    expected = ["9"] * (topology.DELIVERY_LIMIT + 1)  # the limit counts redeliveries

    def is_finished() -> bool:
        deaths = output.read_text().split()
        return (
            dead_letters(broker_url) == ["evt_killer"]
            and handled(database) == sorted(ids)
            and len(deaths) >= len(expected)
        )

    try:
        wait_until(is_finished, 90)
    finally:
        kill_group(orchestrator)
    assert output.read_text().split() == expected


def publish(broker_url: str, ids: list[str]) -> None:
    publisher = publishers.connect(broker_url)
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    for future in [publisher.publish(own_event("checkout.checkout.canceled", data, event_id=id_)) for id_ in ids]:
        publisher.wait(future)
    publisher.close()


def handled(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT event_id FROM effects")))


def dead_letters(broker_url: str) -> list[str]:
    """Return the ids in the dead-letter queue; closing the connection puts the messages back."""
    found = []
    with Connection(broker_url) as connection:
        while message := connection.default_channel.basic_get(topology.dead_letter_queue("orders")):
            found.append(message.properties["message_id"])
    return found


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
