"""Crash points: the places in the code at which the fault suite kills a process.

A crash point wraps one function from here, so production code has no switch for tests. The functions are imported: a
renamed one breaks the import or the type check, and test_crash_points.py shows that each point is reached.

`python -m tests.faults.crash_points SERVICE web|worker` starts the service unchanged, apart from these settings:

- CRASH_AT: the name of a point. The process kills itself when it reaches the point; `…:2` means the second time.
- CRASH_POINTS_LOG: a file to which the process writes the name of each point that it reaches, without a crash.
- HOLD_LIMIT_S: a shorter time for which messages are held while the database is away.
- MAIL_LEASE_S: a shorter lease for e-mails, so that the e-mails of a killed sender are sent again soon.
"""

import importlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import kombu.message
from events.messaging import consumer, inbox, outbox
from events.messaging.handlers import Handlers
from events.messaging.publisher import PikaPublisher
from events.messaging.runner import Runner
from events.web import server
from notifications import models as mail_models
from notifications import sender as mail_sender
from notifications.claims import Claims
from notifications.outcomes import Outcomes
from notifications.smtp import Connection

MODULE = "tests.faults.crash_points"


@dataclass(frozen=True)
class CrashPoint:
    """The moment after a call of a function, or `before` it. With `only_results`, an empty result does not count."""

    name: str
    function: Callable[..., Any]
    before: bool = False
    only_results: bool = False

    @property
    def owner(self) -> Any:
        """The class or module that has the function."""
        *path, _ = self.function.__qualname__.split(".")
        return reduce(getattr, path, sys.modules[self.function.__module__])

    def wrap(self, reached: Callable[[], None]) -> None:
        """Replace the function by one that also calls `reached`, on any thread."""
        original = getattr(self.owner, self.function.__name__)  # it may be wrapped already: points share functions

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.before:
                reached()
            result = original(*args, **kwargs)
            if not self.before and (result or not self.only_results):
                reached()
            return result

        setattr(self.owner, self.function.__name__, wrapped)


CONSUMER = (
    CrashPoint("message received", Runner.handle, before=True),
    CrashPoint("event handled, not committed", Handlers.run),
    CrashPoint("event committed, not acked", Runner.handle),
    CrashPoint("message acked", kombu.message.Message.ack),
)
RETRY = (
    CrashPoint("retry claimed", inbox.claim_due, only_results=True),
    CrashPoint("retry locked", inbox.lock_claimed, only_results=True),
    CrashPoint("retry done, not committed", inbox.mark_done),
)
RELAY = (
    CrashPoint("outbox claimed", outbox.claim, only_results=True),
    CrashPoint("outbox event sent, not confirmed", PikaPublisher.publish),
    CrashPoint("outbox event confirmed, not marked", PikaPublisher.wait),
    CrashPoint("outbox event marked, not committed", outbox.mark_published),
)
SENDER = (
    CrashPoint("e-mail claimed", Claims.claim, only_results=True),
    CrashPoint("e-mail accepted by SMTP, not marked", Connection.finish),
    CrashPoint("e-mail marked sent", Outcomes.mark_sent),
)
INGEST = (
    CrashPoint("webhook verified, not published", PikaPublisher.publish, before=True),
    CrashPoint("webhook confirmed, not answered", PikaPublisher.wait),
)
POINTS = {point.name: point for point in (*CONSUMER, *RETRY, *RELAY, *SENDER, *INGEST)}


def crash_at(point: CrashPoint, count: int) -> None:
    """Make this process kill itself when it reaches the point for the `count`th time."""
    lock, remaining = threading.Lock(), count

    def reached() -> None:
        nonlocal remaining
        with lock:
            remaining -= 1
            if remaining == 0:
                os.killpg(0, signal.SIGKILL)  # the whole group: granian's parent would start another child

    point.wrap(reached)


def log_reached(point: CrashPoint, log: Path, process: str) -> None:
    """Make this process write its name and the point's name to the log when it reaches the point."""

    def reached() -> None:
        with log.open("a") as output:
            output.write(f"{process}: {point.name}\n")

    point.wrap(reached)


def shorten_mail_lease(lease: timedelta) -> None:
    """Set the lease of e-mails, and the time of one run of the sender, which must end before the lease."""
    assert lease < mail_models.CLAIM_LEASE
    assert mail_sender.MAX_RUN_TIME < mail_models.CLAIM_LEASE
    mail_models.CLAIM_LEASE = lease
    mail_sender.MAX_RUN_TIME = lease / 4


def prepare_process(process: str) -> None:
    """Change this process as its environment says."""
    if crash_setting := os.environ.get("CRASH_AT"):
        name, _, count = crash_setting.partition(":")
        crash_at(POINTS[name], int(count or 1))
    if log := os.environ.get("CRASH_POINTS_LOG"):
        for point in POINTS.values():
            log_reached(point, Path(log), process)
    if seconds := os.environ.get("HOLD_LIMIT_S"):
        assert float(seconds) < consumer.HOLD_LIMIT_S
        consumer.HOLD_LIMIT_S = float(seconds)
    if seconds := os.environ.get("MAIL_LEASE_S"):
        shorten_mail_lease(timedelta(seconds=float(seconds)))


def create_wsgi() -> Any:
    """Return the application of CRASH_POINTS_SERVICE. granian's child processes import this function."""
    service = os.environ["CRASH_POINTS_SERVICE"]
    prepare_process(f"{service} web")
    return importlib.import_module(f"{service}.app").create_wsgi()


def main(service: str, kind: str) -> None:
    """Run a service's process with the changes."""
    if kind == "web":
        os.environ["CRASH_POINTS_SERVICE"] = service
        _serve_this_module()
    else:
        prepare_process(f"{service} {kind}")
    sys.argv = [service, kind]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


def _serve_this_module() -> None:
    serve = server.serve
    server.serve = lambda _app, port, **settings: serve(f"{MODULE}:create_wsgi", port, **settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
