"""A message that kills its consumer's process again and again is taken aside, and nothing else is."""

import os
import signal
import subprocess
import sys

from events.database.engine import Database
from events.messaging import publisher, topology
from events.messaging.chains import INBOX
from events.messaging.event import own_event
from events.testing.fixtures import MakeDatabase
from events.testing.servers import wait_until
from kombu import Connection
from sqlalchemy import text

# One process that starts a worker process after the other, as an orchestrator would; each death is a line.
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
    if event.id == "evt_poison":
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


def test_poison_is_taken_aside_after_the_delivery_limit_and_its_neighbours_are_handled(
    postgres_database: MakeDatabase, broker_url: str
) -> None:
    database = postgres_database([INBOX])
    with database.begin() as session:
        session.execute(text("CREATE TABLE effects (event_id text)"))
    ids = [f"evt_{number}" for number in range(30)]
    publish(broker_url, [*ids[:10], "evt_poison", *ids[10:]])
    url = database.engine.url.render_as_string(hide_password=False)
    orchestrator = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, broker_url, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: dead(broker_url) == ["evt_poison"] and handled(database) == sorted(ids), 90)
    finally:
        kill_group(orchestrator)
    assert orchestrator.stdout is not None
    with orchestrator.stdout as told:
        deaths = told.read().split()
    assert deaths == [b"9"] * (topology.DELIVERY_LIMIT + 1)  # the limit counts repeats


def publish(broker_url: str, ids: list[str]) -> None:
    publishing = publisher.connect(broker_url)
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    for future in [publishing.publish(own_event("checkout.checkout.canceled", data, event_id=id_)) for id_ in ids]:
        publishing.wait(future)
    publishing.close()


def handled(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT event_id FROM effects")))


def dead(broker_url: str) -> list[str]:
    """What lies in the dead queue; closing the channel puts it back."""
    found = []
    with Connection(broker_url) as connection:
        while message := connection.default_channel.basic_get(topology.dead_letter_queue("orders")):
            found.append(message.properties["message_id"])
    return found


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
