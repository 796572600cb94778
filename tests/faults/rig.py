"""The test rig: all services' processes on private servers, proxies before both servers, and the auditor."""

import itertools
import os
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pika
import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from events.database.engine import Database
from events.messaging import topology
from events.operations import inbox as inbox_operations
from events.testing.servers.choice import private_postgres, private_rabbitmq
from events.testing.servers.server import Server

from demo.fake_stripe.server import FakeStripe
from demo.shop.mailbox import Mailbox
from demo.system import System
from tests.e2e.processes import ROOT, WITH_DATABASE, ServiceProcesses, installation
from tests.faults import crash_points
from tests.faults.auditor import Auditor
from tests.faults.bulk_checkouts import BulkCheckouts
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.faults.stripe_ledger import StripeLedger

SEED = int(os.environ.get("FAULTS_SEED") or 20261102)
LONG_RUN_EVENTS = int(os.environ.get("FAULTS_EVENTS") or 0)  # 0: no long run
RUN_ALL = bool(os.environ.get("FAULTS_ALL") or LONG_RUN_EVENTS)  # `make faults`; `make test` runs a selection
MAIL_LEASE_S = "4"  # the service's own lease takes two minutes
POLL_S = 0.2  # between two looks at the remaining work


class MailCounter(Mailbox):
    """A mail server that counts e-mails by Message-ID. It keeps none: those of a long run would fill the memory."""

    def __init__(self) -> None:
        super().__init__(port=0)
        self.counts: Counter[str] = Counter()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Count one e-mail."""
        headers = BytesHeaderParser().parsebytes(bytes(envelope.original_content or b""))
        self.counts["".join(headers["message-id"].split())] += 1
        return "250 Counted"


def selected(names: Iterable[str], always: Collection[str]) -> list[Any]:
    """Return parameters of a test. Only `make faults` runs all of them; `make test` runs those in `always`."""
    skip = pytest.mark.skipif(not RUN_ALL, reason="only `make faults` runs it")
    return [pytest.param(name, marks=() if name in always else skip) for name in names]


@dataclass
class Rig:
    """The running system, with all means to break it and to audit it."""

    system: System
    stripe: FakeStripe
    processes: ServiceProcesses
    broker: Server
    postgres: Server
    proxy: Proxy  # between the services and the broker
    database_proxy: Proxy  # between the services and PostgreSQL; the auditor connects directly
    mail_counter: MailCounter
    databases: Mapping[str, Database]
    mail_lease_s: str = MAIL_LEASE_S  # "": the service's own
    has_backlog: bool = False  # messages wait all the time, so their deliveries cannot be counted
    ledger: StripeLedger = field(default_factory=StripeLedger)  # everything that Stripe has sent to this system
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(SEED))

    def __post_init__(self) -> None:
        self.auditor = Auditor(self.databases, lambda: dict(self.mail_counter.counts), self.queued_routing_keys)
        self.checkouts = BulkCheckouts(self.databases, SEED)
        self.checkouts.fill_stock()

    @property
    def webhook_secret(self) -> str:
        """The secret with which Stripe signs its events."""
        return self.stripe.account.webhooks.endpoints[0].secret

    def new_random(self) -> random.Random:
        """Return a new random generator with the next seed, so that no fault depends on another one's choices."""
        return random.Random(next(self._seeds))

    def load(self, count: int, rate: float, **options: Any) -> Load:
        """Return a load of `count` purchases at `rate` per second, which is not started yet."""
        seed = self.new_random().getrandbits(32)
        url = self.system.urls["webhooks"]
        return Load(url, self.webhook_secret, self.checkouts, count=count, rate=rate, seed=seed, **options)

    def wait_until_drained(self, stalled_after: float) -> float:
        """Wait until no service has anything left to do; return the seconds that it took.

        Raises `TimeoutError` with the remaining work when nothing of it has changed for `stalled_after` seconds.
        """
        began = changed_at = time.monotonic()
        pause, before = threading.Event(), [""]
        while remaining := self.auditor.remaining_work(self.ledger) or self._queued_messages():
            if remaining != before:
                changed_at, before = time.monotonic(), remaining
            if time.monotonic() - changed_at > stalled_after:
                findings = "\n".join(map(str, self.auditor.audit(self.ledger)[:20]))
                raise TimeoutError(f"no progress for {stalled_after:g} s: {'; '.join(remaining)}\n{findings}")
            pause.wait(POLL_S)
        return time.monotonic() - began

    def _queued_messages(self) -> list[str]:
        """Return how many messages each service's queue has; duplicates are messages, too.

        It takes no message from a queue, because `queued_routing_keys` would count as a delivery.
        """
        depths = {queue: state.message_count for queue, state in self._queue_states().items()}
        return [f"{depth} messages in {queue}" for queue, depth in depths.items() if depth]

    def consumer_counts(self) -> set[int]:
        """Return the numbers of consumers that the services' queues have."""
        return {state.consumer_count for state in self._queue_states().values()}

    def deliveries_used(self) -> int:
        """Return how many deliveries the services' waiting messages have used up.

        The messages stay in their queues, but each call counts as one more delivery of each.
        """
        with closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            channel, used = connection.channel(), 0
            for queue in topology.BINDINGS:
                while (answer := channel.basic_get(queue))[0] is not None:
                    used += int((answer[1].headers or {}).get("x-delivery-count", 0))
        return used

    def held_messages(self) -> int:
        """Return how many messages of all queues are delivered and not acknowledged."""
        return sum(map(int, self.broker.ctl("list_queues", "--quiet", "messages_unacknowledged").split()[1:]))

    def is_idle(self) -> bool:
        """Return True if no message waits in a service's queue or is being handled."""
        return not self._queued_messages() and self.held_messages() == 0

    def set_paused(self, paused: bool) -> None:
        """Pause or resume the consumers of all services, as an operator does."""
        for database in self.databases.values():
            with database.begin() as session:
                inbox_operations.set_paused(session, paused, actor="faults", reason="a fault")

    def received(self) -> int:
        """Return the number of events in all inboxes."""
        return sum(self.auditor.count_received(service) for service in self.databases)

    def _queue_states(self) -> dict[str, Any]:
        with closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            channel = connection.channel()
            return {queue: channel.queue_declare(queue, passive=True).method for queue in topology.BINDINGS}

    def start(self, service: str, kind: str, **environment: str) -> None:
        """Start a process. With CRASH_AT or another setting of crash_points.py, start it through that module."""
        if self.mail_lease_s and (service, kind) == ("notifications", "worker"):
            environment.setdefault("MAIL_LEASE_S", self.mail_lease_s)
        if environment:
            self.processes.start(service, kind, entry_module=crash_points.MODULE, PYTHONPATH=str(ROOT), **environment)
        else:
            self.processes.start(service, kind)

    def restart(self, service: str, kind: str, **environment: str) -> None:
        """Kill a process and start it again."""
        self.kill(service, kind)
        self.start(service, kind, **environment)

    def kill(self, service: str, kind: str) -> None:
        """Send SIGKILL to a process and its children, and wait until it has ended."""
        self.processes.stop(service, kind, signal.SIGKILL)

    def queued_routing_keys(self, queues: Sequence[str]) -> dict[str, list[str]]:
        """Return the routing keys of the messages in these queues.

        The messages stay in their queues, but each call counts as one more delivery of each.
        """
        found: dict[str, list[str]] = {}
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.url))
        try:
            channel = connection.channel()
            for queue in queues:
                found[queue] = []
                while (method := channel.basic_get(queue)[0]) is not None:
                    found[queue].append(method.routing_key)
        finally:
            connection.close()  # unacked messages return to their queues
        return found


AnyRig = TypeVar("AnyRig", bound=Rig)


@contextmanager
def running_rig(
    folder: Path,
    make_rig: Callable[..., AnyRig],
    settings: Mapping[str, str] = MappingProxyType({}),
    private_broker: Callable[[], AbstractContextManager[Server]] = private_rabbitmq,
) -> Iterator[AnyRig]:
    """Start everything, with stock for all loads. All services get `settings`.

    Raises `ServerStartError` without private servers.
    """
    with ExitStack() as stack:
        postgres = stack.enter_context(private_postgres())
        broker = stack.enter_context(private_broker())
        proxy, database_proxy = _proxy_before(broker.url), _proxy_before(postgres.url)
        stack.callback(proxy.close)
        stack.callback(database_proxy.close)
        urls = {service: create_database(postgres.url, service) for service in WITH_DATABASE}
        unused_urls = iter([_through(database_proxy, url) for url in urls.values()])
        mail_counter = MailCounter()
        installed = stack.enter_context(
            installation(folder, lambda: next(unused_urls), _through(proxy, broker.url), mail_counter, settings)
        )
        databases = {service: Database(url) for service, url in urls.items()}
        for database in databases.values():
            stack.callback(database.dispose)
        rig = make_rig(
            installed.system,
            installed.stripe,
            installed.processes,
            broker,
            postgres,
            proxy,
            database_proxy,
            mail_counter,
            databases,
        )
        if rig.mail_lease_s:
            rig.restart("notifications", "worker")  # with the shorter lease
        yield rig


def _proxy_before(url: str) -> Proxy:
    address = urlsplit(url)
    assert address.port is not None
    return Proxy(str(address.hostname), address.port)


def _through(proxy: Proxy, url: str) -> str:
    address = urlsplit(url)
    return urlunsplit(address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{proxy.port}"))


def create_database(server_url: str, service: str) -> str:
    """Create an empty database for a service and return its URL."""
    name = f"{service}_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
