"""The mail server is a real one in this process, so that smtplib's side of every answer is tested. Time is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from events.database.engine import Database
from events.messaging import contracts
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.testing import deliver
from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.models import CHAINS, Email
from notifications.samples import sample
from notifications.sender import Sender
from sqlalchemy import select

OPERATOR = "operator-token-0123"
DELAY = timedelta(hours=1)

KINDS_OF_EVENTS = {
    "orders.order.paid": "order_confirmed",
    "orders.payment.pending": "payment_pending",
    "orders.payment.failed": "payment_failed",
    "orders.order.expired": "abandoned_cart",
    "orders.order.canceled": "order_confirmed",
    "orders.review.opened": "staff_review",
    "orders.review.resolved": "staff_review_settled",
    "orders.order.shipped": "order_shipped",
    "orders.refund.succeeded": "refund_succeeded",
    "orders.refund.failed": "staff_refund_failed",
    "orders.dispute.opened": "staff_dispute_opened",
    "orders.dispute.updated": "staff_dispute_updated",
    "orders.dispute.closed": "staff_dispute_closed",
    "inventory.stock.low": "staff_stock_low",
}


def order_event(event_type: str, **changes: Any) -> Event:
    data = sample(KINDS_OF_EVENTS[event_type], **changes)
    known = contracts.SCHEMAS[event_type, 1].fields
    data = contracts.load(event_type, 1, {name: value for name, value in data.items() if name in known})
    return own_event(event_type, data, correlation_id=data.get("checkout_id"))


class Clock:
    """Far enough ahead that a mail that was just written down is due."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


class Catcher:
    """A mail server that keeps what it takes. `answers` gives an SMTP answer instead for a recipient."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.conversations = 0
        self.answers: dict[str, str] = {}
        self.port = 0

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.conversations += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    @property
    def recipients(self) -> list[str]:
        return [str(message["To"]) for message in self.messages]

    @contextmanager
    def up(self) -> Iterator["Catcher"]:
        """At a free port at first, then always at that one."""
        controller = _Controller(self, hostname="127.0.0.1", port=self.port)
        controller.start()
        self.port = controller.port
        try:
            yield self
        finally:
            controller.stop()


class _Controller(Controller):  # type: ignore[misc]
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class World:
    """One installation of notifications; `server` is its mail server."""

    def __init__(self, database: Database, config: Config, server: Catcher) -> None:
        self.database, self.config, self.server = database, config, server
        self.clock = Clock()
        self.handlers: Handlers = create_handlers(DELAY, config.staff_digest)
        self.sender = self.another_sender()

    def another_sender(self) -> Sender:
        return Sender(self.config, self.database, clock=self.clock)

    event = staticmethod(order_event)

    def deliver(self, *events: Event) -> list[str]:
        return [deliver(self.database, self.handlers, event) for event in events]

    def tell(self, event_type: str, **changes: Any) -> str:
        return self.deliver(order_event(event_type, **changes))[0]

    def paid(self, number: int, **changes: Any) -> str:
        """An order of its own for each number."""
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}", "customer_email": f"c{number}@example.org"}
        return self.tell("orders.order.paid", **{**ids, **changes})

    def emails(self) -> list[Email]:
        with self.database.read() as session:
            return list(session.scalars(select(Email).order_by(Email.id)))

    def states(self) -> dict[str, str]:
        """Kind → status; for tests with one mail of a kind."""
        return {email.kind: email.status for email in self.emails()}


@pytest.fixture
def server() -> Iterator[Catcher]:
    with Catcher().up() as catcher:
        yield catcher


@pytest.fixture
def make_config() -> Callable[..., Config]:
    def make(smtp_url: str = "smtp://127.0.0.1:25", **changes: Any) -> Config:
        return Config(
            service="notifications",
            port=8005,
            broker_url="memory://",
            operator_tokens={"zoe": OPERATOR},
            smtp_url=smtp_url,
            mail_from="Clozit <orders@shop.example>",
            staff_email="staff@shop.example",
            shop_url="https://shop.example",
            **changes,
        )

    return make


@pytest.fixture
def world(any_database: Any, make_config: Any, server: Catcher) -> World:
    """Once on SQLite, once on PostgreSQL."""
    return World(any_database(CHAINS), make_config(f"smtp://127.0.0.1:{server.port}"), server)


@pytest.fixture
def small_world(sqlite_database: Any, make_config: Any, server: Catcher) -> World:
    """On SQLite: what does not depend on how a database locks."""
    return World(sqlite_database(CHAINS), make_config(f"smtp://127.0.0.1:{server.port}"), server)
