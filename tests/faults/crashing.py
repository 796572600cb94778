"""python -m tests.faults.crashing SERVICE web|worker: the service as it is, which kills itself at a named point.

CRASH_AT names the point, such as `committed:2` for its second crossing. The points are wrapped around the
collaborators from here; the services know nothing of them. MAIL_LEASE (seconds) shortens the mail sender's lease, so
that a suite need not wait two minutes for the mails of a sender that it has killed.
"""

import importlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

CONSUMER = ("received", "handled", "committed", "acknowledged")
RETRY = ("retry claimed", "retry held", "retried")
RELAY = ("outbox claimed", "publishing", "published", "marked")
SENDER = ("mail claimed", "mail handed over", "mail marked")
INGEST = ("event verified", "event confirmed")

Point = tuple[str, str, str]  # module, class or nothing, function

BEFORE: dict[str, Point] = {
    "received": ("events.runner", "Runner", "handle"),
    "event verified": ("events.publisher", "PikaPublisher", "publish"),
}
AFTER: dict[str, Point] = {
    "handled": ("events.handlers", "Handlers", "run"),
    "committed": ("events.runner", "Runner", "handle"),
    "acknowledged": ("kombu.message", "Message", "ack"),
    "retry claimed": ("events.inbox", "", "claim_due"),
    "retry held": ("events.inbox", "", "hold"),
    "retried": ("events.inbox", "", "mark_done"),
    "outbox claimed": ("events.outbox", "", "claim"),
    "publishing": ("events.publisher", "PikaPublisher", "publish"),
    "published": ("events.publisher", "PikaPublisher", "wait"),
    "marked": ("events.outbox", "", "mark_published"),
    "mail claimed": ("notifications.sender", "Sender", "_claim"),
    "mail handed over": ("notifications.smtp", "Connection", "send"),
    "mail marked": ("notifications.sender", "Sender", "_mark_sent"),
    "event confirmed": ("events.publisher", "PikaPublisher", "wait"),
}
NEEDS_FIND = (
    "retry claimed",
    "retry held",
    "outbox claimed",
    "mail claimed",
)  # a look that finds nothing is no crossing


def arm(point: str, crossings: int) -> None:
    """Die at the n-th crossing of the point, on whatever thread."""
    module, owner_name, name = BEFORE.get(point) or AFTER[point]
    owner = importlib.import_module(module)
    owner = getattr(owner, owner_name) if owner_name else owner
    original, lock, left = getattr(owner, name), threading.Lock(), crossings

    def cross() -> None:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                os.killpg(0, signal.SIGKILL)  # granian's parent too, which would start another child

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if point in BEFORE:
            cross()
        result = original(*args, **kwargs)
        if point in AFTER and (result or point not in NEEDS_FIND):
            cross()
        return result

    setattr(owner, name, wrapped)


def prepare() -> None:
    """Do to this process what the environment says."""
    if crash_at := os.environ.get("CRASH_AT"):
        point, _, crossings = crash_at.partition(":")
        arm(point, int(crossings or 1))
    if seconds := os.environ.get("MAIL_LEASE"):
        models, sender = (
            importlib.import_module("notifications.models"),
            importlib.import_module("notifications.sender"),
        )
        models.CLAIM_LEASE = timedelta(seconds=float(seconds))
        sender.RUN_TIME = models.CLAIM_LEASE / 4  # a run ends before its lease


def create_wsgi() -> Any:
    """What granian's own processes import."""
    prepare()
    return importlib.import_module(f"{os.environ['CRASHING']}.app").create_wsgi()


def main(service: str, kind: str) -> None:
    os.environ["CRASHING"] = service
    if kind == "web":
        _serve_ours()
    else:
        prepare()
    sys.argv = [service, kind]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


def _serve_ours() -> None:
    import granian

    original: Callable[..., Any] = granian.Granian
    granian.Granian = lambda _app, **settings: original("tests.faults.crashing:create_wsgi", **settings)  # type: ignore[misc,assignment]


if __name__ == "__main__":
    main(*sys.argv[1:])
