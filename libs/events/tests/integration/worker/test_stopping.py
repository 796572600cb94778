"""The end of a worker: on request and by SIGTERM, at work and without a broker."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from events.config import Common
from events.database.engine import Database
from events.messaging import outbox
from events.messaging.chains import INBOX
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase
from events.testing.ports import free_port
from events.testing.waiting import wait_until
from sqlalchemy.orm import Session

from libs.events.tests.integration.worker.observed import canceled, count_consumers, depth, effects


def test_stop_does_not_wait_for_an_absent_broker(database: Database, handlers: Handlers) -> None:
    config = Common(service="orders", port=0, broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}/%2F")
    away = Worker(config, database, handlers, publishes=False)
    away.start()
    [consumer] = [thread for thread in away._loops.threads if thread.name == "orders-consumer"]
    away.stop()
    assert not consumer.is_alive()


def test_worker_without_a_broker_stops_on_request(database: Database, handlers: Handlers) -> None:
    absent = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    worker = Worker(Common(service="orders", port=0, broker_url=absent), database, handlers, publishes=False)
    worker.start()
    [consumer] = [thread for thread in worker._loops.threads if thread.name == "orders-consumer"]

    worker.stop()

    assert not consumer.is_alive()


def test_stop_does_not_wait_for_the_outbox(
    broker_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, original, stopping = list[int](), outbox.claim, threading.Event()

    def claim(session: Session, **options: Any) -> Any:
        claims.append(1)
        running._loops.request_stop()
        stopping.set()
        return original(session, **options)

    with database.begin() as session:
        for number in range(2 * outbox.CLAIM_BATCH_SIZE + 1):
            data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
            outbox.add(session, "checkout.checkout.canceled", data, correlation_id=f"chk_{number}")
    monkeypatch.setattr(outbox, "claim", claim)
    running = Worker(Common(service="orders", port=0, broker_url=broker_url), database, Handlers())
    running.start()
    assert stopping.wait(30)
    running.stop()
    assert len(claims) == 1


def test_sigterm_stops_a_worker_process_cleanly(broker_url: str, database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    program = f"""
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
Worker(Common(service="orders", port=0, broker_url={broker_url!r}), Database({url!r}), Handlers()).run()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: count_consumers(broker_url) == 1, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_repeated_sigterm_lets_a_slow_handler_finish(
    publish: Callable[..., None], broker_url: str, database: Database, tmp_path: Path
) -> None:
    started, may_end = tmp_path / "started", tmp_path / "may_end"
    url = database.engine.url.render_as_string(hide_password=False)
    program = f"""
from pathlib import Path
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.waiting import wait_until
from sqlalchemy import text
handlers = Handlers()
@handlers.on("checkout.checkout.canceled")
def slow(event, session):
    Path({str(started)!r}).touch()
    wait_until(Path({str(may_end)!r}).exists, 30)
    session.execute(text("INSERT INTO effects VALUES ('slow')"))
Worker(Common(service="orders", port=0, broker_url={broker_url!r}), Database({url!r}), handlers).run()
"""
    publish(canceled(1))
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        wait_until(started.exists, 30)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        may_end.touch()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert (effects(database), depth(broker_url, "orders")) == (["slow"], 0)


def test_sigterm_cannot_deadlock_with_the_main_thread(sqlite_database: MakeDatabase, tmp_path: Path) -> None:
    """The signal interrupts the main thread while it holds a lock that a stop needs, as within `Event.set`."""
    url = sqlite_database((INBOX,)).engine.url.render_as_string(hide_password=False)
    program = f"""
import os, signal
from events.config import Common
from events.database.engine import Database
from events.messaging import inbox
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
database = Database({url!r})
worker = Worker(Common(service="orders", port=0, broker_url="memory://"), database, Handlers(), publishes=False)
run = worker.consumer.run
def interrupted():
    with database.signal(inbox.CHANNEL)._event._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): pass  # the handler runs here
    run()
worker.consumer.run = interrupted
worker.run()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
