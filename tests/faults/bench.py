"""The system under faults: every service's processes, servers of one's own below them, and the auditor beside them."""

import itertools
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pika
import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from events.database.engine import Database
from events.messaging import topology
from events.testing.servers import Server, private_postgres, private_rabbitmq

from demo.shop.mailbox import Mailbox
from demo.system import System
from tests.e2e.processes import ROOT, WITH_DATABASE, Fleet, fleet
from tests.faults.auditor import Auditor
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.faults.shop import Shop

SEED = int(os.environ.get("FAULTS_SEED") or 20261102)
EVENTS = int(os.environ.get("FAULTS_EVENTS") or 0)  # of the long run; 0: the short form alone
ALL = bool(os.environ.get("FAULTS_ALL") or EVENTS)  # `make faults`; else, within `make test`, a selection
MAIL_LEASE = "4"  # seconds; the long run keeps the service's own two minutes
CRASHING = "tests.faults.crashing"
LOOK_EVERY = 0.2  # seconds between the auditor's looks while the rest of a load is settled


class Letterbox(Mailbox):
    """Counts mails by their Message-ID and keeps none: a long run's tens of thousands would fill the memory."""

    def __init__(self) -> None:
        super().__init__(port=0)
        self.caught: Counter[str] = Counter()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        headers = BytesHeaderParser().parsebytes(bytes(envelope.original_content or b""))
        self.caught["".join(headers["message-id"].split())] += 1
        return "250 Caught"


def selected(names: Iterable[str], brief: Collection[str]) -> list[Any]:
    """Parameters of a test: all of them for `make faults`, in a brief run the others are skipped."""
    skip = pytest.mark.skipif(not ALL, reason="make faults plays it")
    return [pytest.param(name, marks=() if name in brief else skip) for name in names]


@dataclass
class Bench:
    system: System
    fleet: Fleet
    broker: Server
    postgres: Server
    proxy: Proxy  # between the services and the broker
    letterbox: Letterbox
    databases: Mapping[str, Database]
    mail_lease: str = MAIL_LEASE  # "": the service's own
    ledger: Ledger = field(default_factory=Ledger)  # all that Stripe has told these services
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(SEED))

    def __post_init__(self) -> None:
        self.auditor = Auditor(self.databases, lambda: dict(self.letterbox.caught), self.lying)
        self.shop = Shop(self.databases, SEED)
        self.shop.fill_shelf()

    def chance(self) -> random.Random:
        """Its own seeded sequence for whoever asks, so that one fault's throws do not depend on another's."""
        return random.Random(next(self._seeds))

    def load(self, count: int, rate: float, **options: Any) -> Load:
        """`count` purchases at `rate` a second, ready to start."""
        secret = self.system.stripe.account.webhooks.endpoints[0].secret
        seed = self.chance().getrandbits(32)
        return Load(self.system.urls["webhooks"], secret, self.shop, count=count, rate=rate, seed=seed, **options)

    def settle(self, within: float) -> float:
        """Wait until nothing is left to be done; seconds that it took.

        Raises `TimeoutError` naming what is left when nothing of it changed for `within` seconds.
        """
        began = changed = time.monotonic()
        pause, before = threading.Event(), [""]
        while unsettled := self.auditor.unsettled(self.ledger) or self._undelivered():
            if unsettled != before:
                changed, before = time.monotonic(), unsettled
            if time.monotonic() - changed > within:
                findings = "\n".join(map(str, self.auditor.audit(self.ledger)[:20]))
                raise TimeoutError(f"stuck for {within:g} s: {'; '.join(unsettled)}\n{findings}")
            pause.wait(LOOK_EVERY)
        return time.monotonic() - began

    def _undelivered(self) -> list[str]:
        """What lies in the services' queues, be it second copies. A look of `lying` would count as a delivery."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            channel = connection.channel()
            depths = {q: channel.queue_declare(q, passive=True).method.message_count for q in topology.BINDINGS}
        return [f"{depth} messages in {queue}" for queue, depth in depths.items() if depth]

    def start(self, service: str, kind: str, **environment: str) -> None:
        """Start a process; with CRASH_AT in its environment, through the entry that obeys it."""
        if self.mail_lease and (service, kind) == ("notifications", "worker"):
            environment.setdefault("MAIL_LEASE", self.mail_lease)
        if environment:
            self.fleet.start(service, kind, through=CRASHING, PYTHONPATH=str(ROOT), **environment)
        else:
            self.fleet.start(service, kind)

    def restart(self, service: str, kind: str) -> None:
        self.kill(service, kind)
        self.start(service, kind)

    def kill(self, service: str, kind: str) -> None:
        self.fleet.signal(service, kind, signal.SIGKILL)

    def lying(self, queues: Sequence[str]) -> dict[str, list[str]]:
        """The routing keys of what lies in these queues; it is given back when the connection ends."""
        found: dict[str, list[str]] = {}
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.url))
        try:
            channel = connection.channel()
            for queue in queues:
                found[queue] = []
                while (method := channel.basic_get(queue)[0]) is not None:
                    found[queue].append(method.routing_key)
        finally:
            connection.close()
        return found


@contextmanager
def running(folder: Path) -> Iterator[Bench]:
    """Everything started, with full shelves. Raises `Unavailable` where there are no server programs to break."""
    with ExitStack() as stack:
        postgres = stack.enter_context(private_postgres())
        broker = stack.enter_context(private_rabbitmq())
        at = urlsplit(broker.url)
        proxy = Proxy(str(at.hostname), at.port or 5672)
        stack.callback(proxy.close)
        through_proxy = urlunsplit(at._replace(netloc=f"{at.username}:{at.password}@127.0.0.1:{proxy.port}"))
        urls = {service: _new_database(postgres.url, service) for service in WITH_DATABASE}
        left, letterbox = iter(urls.values()), Letterbox()
        system, processes = stack.enter_context(fleet(folder, lambda: next(left), through_proxy, letterbox))
        databases = {service: Database(url) for service, url in urls.items()}
        for database in databases.values():
            stack.callback(database.dispose)
        bench = Bench(system, processes, broker, postgres, proxy, letterbox, databases)
        bench.restart("notifications", "worker")
        yield bench


def _new_database(server_url: str, service: str) -> str:
    name = f"{service}_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
