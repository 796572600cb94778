"""Fixtures of the notifications' tests. The mail server is a real one in this process, and the clock is the test's."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

import pytest
from aiosmtpd.controller import Controller
from events.database.engine import Database
from events.messaging.contracts import registry
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.testing.bus import deliver
from events.testing.fixtures import MakeDatabase
from notifications.chains import CHAINS
from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.models import Email
from notifications.samples import sample
from notifications.sender import Sender
from sqlalchemy import select

OPERATOR_TOKEN = "operator-token-0123"
UNSUBSCRIBE_SECRET = "unsubscribe-secret-0123"
REMINDER_DELAY = timedelta(hours=1)

SAMPLE_OF_EVENT = {
    "orders.order.paid": "order_confirmed",
    "orders.payment.pending": "payment_pending",
    "orders.payment.failed": "payment_failed",
    "orders.order.expired": "abandoned_cart",
    "orders.order.canceled": "order_confirmed",
    "orders.review.opened": "staff_review_opened",
    "orders.review.resolved": "staff_review_resolved",
    "orders.order.shipped": "order_shipped",
    "orders.refund.succeeded": "refund_succeeded",
    "orders.refund.failed": "staff_refund_failed",
    "orders.dispute.opened": "staff_dispute_opened",
    "orders.dispute.updated": "staff_dispute_updated",
    "orders.dispute.closed": "staff_dispute_closed",
    "inventory.stock.low": "staff_stock_low",
    "inventory.reservation.expiring": "staff_reservation_expiring",
}


def new_event(event_type: str, **changes: Any) -> Event:
    """Return a new event with sample data that fits its contract."""
    data = sample(SAMPLE_OF_EVENT[event_type], **changes)
    known = registry.SCHEMAS[event_type, 1].fields
    data = registry.load(event_type, 1, {name: value for name, value in data.items() if name in known})
    return own_event(event_type, data, correlation_id=data.get("checkout_id"))


class Clock:
    """The test's clock, far enough ahead that an e-mail which was just queued is due."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Move the clock forward by a timedelta's arguments."""
        self.now += timedelta(**by)


class MailCatcher:
    """A mail server that keeps the messages that it got whole.

    `answers` has another SMTP answer for some recipients, `refusals` one for all e-mails by command (MAIL, RCPT, DATA).
    E-mails to `cut` end with a lost connection instead of an answer, and those to `stalling` wait for `go_on`.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.sessions = 0
        self.answers: dict[str, str] = {}
        self.refusals: dict[str, str] = {}
        self.cut: set[str] = set()
        self.stalling: set[str] = set()
        self.go_on = threading.Event()
        self.port = 0

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if refusal := self.refusals.get("MAIL"):
            return refusal
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if refusal := self.refusals.get("RCPT") or self.answers.get(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.contents.append(envelope.content)
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        (recipient,) = envelope.rcpt_tos
        if recipient in self.cut:
            server.transport.abort()
        if recipient in self.stalling:
            await asyncio.get_running_loop().run_in_executor(None, self.go_on.wait, 30)
        return self.refusals.get("DATA", "250 OK")

    @property
    def recipients(self) -> list[str]:
        return [str(message["To"]) for message in self.messages]

    @contextmanager
    def running(self, **options: Any) -> Iterator[Self]:
        """Run the server: the first time on a free port, later on the same one. `options` are aiosmtpd's."""
        controller = _Controller(self, hostname="127.0.0.1", port=self.port, **options)
        controller.start()
        self.port = controller.port
        try:
            yield self
        finally:
            self.go_on.set()
            controller.stop()


class _Controller(Controller):
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Service:
    """One notifications service with its database, its mail server and its clock."""

    def __init__(self, database: Database, config: Config, server: MailCatcher) -> None:
        self.database, self.server = database, server
        self.clock = Clock()
        self.use_config(config)

    def use(self, **changes: Any) -> None:
        """Change settings, as with a restart."""
        self.use_config(replace(self.config, **changes))

    def use_config(self, config: Config) -> None:
        self.config = config
        self.handlers: Handlers = create_handlers(
            REMINDER_DELAY, config.staff_digest, reminders=config.reminders, staff_new_order=config.staff_new_order
        )
        self.sender = self.new_sender()

    def new_sender(self) -> Sender:
        """Return one more sender, as in another process."""
        return Sender(self.config, self.database, clock=self.clock)

    event = staticmethod(new_event)

    def deliver(self, *events: Event) -> list[str]:
        """Deliver events and return their outcomes."""
        return [deliver(self.database, self.handlers, event) for event in events]

    def receive(self, event_type: str, **changes: Any) -> str:
        """Deliver a new event with sample data and return its outcome."""
        return self.deliver(new_event(event_type, **changes))[0]

    def receive_paid(self, number: int, **changes: Any) -> str:
        """Deliver a paid order, a different one for each number."""
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}", "customer_email": f"c{number}@example.org"}
        return self.receive("orders.order.paid", **{**ids, **changes})

    def emails(self) -> list[Email]:
        """Return all e-mails, oldest first."""
        with self.database.read() as session:
            return list(session.scalars(select(Email).order_by(Email.id)))

    def statuses(self) -> dict[str, str]:
        """Return kind → status, for tests with one e-mail of each kind."""
        return {email.kind: email.status for email in self.emails()}


@pytest.fixture
def server() -> Iterator[MailCatcher]:
    with MailCatcher().running() as catcher:
        yield catcher


@pytest.fixture
def make_config() -> Callable[..., Config]:
    def make(smtp_url: str = "smtp://127.0.0.1:25", **changes: Any) -> Config:
        return Config(
            service="notifications",
            port=8005,
            broker_url="memory://",
            database_url="sqlite://",
            operator_tokens={"zoe": OPERATOR_TOKEN},
            smtp_url=smtp_url,
            mail_from="Clozit <orders@shop.example>",
            staff_email="staff@shop.example",
            shop_url="https://shop.example",
            **{"public_url": "https://shop.example", "unsubscribe_secret": UNSUBSCRIBE_SECRET, **changes},
        )

    return make


@pytest.fixture
def service(any_database: MakeDatabase, make_config: Callable[..., Config], server: MailCatcher) -> Iterator[Service]:
    """A service on SQLite, and one on PostgreSQL."""
    yield Service(any_database(CHAINS), make_config(f"smtp://127.0.0.1:{server.port}"), server)
    end_answers(server)


@pytest.fixture
def sqlite_service(
    sqlite_database: MakeDatabase, make_config: Callable[..., Config], server: MailCatcher
) -> Iterator[Service]:
    """A service on SQLite, for tests that do not depend on the database's locks."""
    yield Service(sqlite_database(CHAINS), make_config(f"smtp://127.0.0.1:{server.port}"), server)
    end_answers(server)


def end_answers(server: MailCatcher) -> None:
    """Let the server answer, and wait for the threads that still use the database."""
    server.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "smtp-answer":
            thread.join(10)


@pytest.fixture
def make_sqlite_service(
    sqlite_database: MakeDatabase, make_config: Callable[..., Config], server: MailCatcher
) -> Callable[[], Service]:
    """Make a new service, for each example of a property."""

    def make() -> Service:
        server.messages.clear()
        return Service(sqlite_database(CHAINS), make_config(f"smtp://127.0.0.1:{server.port}"), server)

    return make
