"""The surroundings of the services, simulated: broker, databases, mail server, and the HTTP to Stripe and services."""

import smtplib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import stripe
from events.database.engine import Database, Execute
from events.database.notify import Signal
from events.errors import PublishUnconfirmedError
from events.messaging import topology
from events.messaging.background import Background
from events.messaging.event import Event
from events.messaging.pika_connection import encode
from notifications.smtp import Connection, MailServer
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.simulation.adversary import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World


Result = TypeVar("Result")
STRIPE_URL = "https://stripe.test"
US, SHOVEL = "us", "a shovel"  # movers of messages
FREEZE_S = (20, 90, 600)  # how long a database can be frozen
LATE_S = (12, 70, 900)  # answers that come after the leases of the outbox, the e-mails and the refund requests
REFUSAL_S = (60, 600, 1800)  # how long a queue can take nothing


class Seat:
    """The holder of the current world. Objects that are built once for all worlds read it from here."""

    world: "World"


@dataclass
class Message:
    """A message of the simulated broker, with the attributes and methods of kombu's messages that a consumer uses."""

    event: Event
    bus: "Bus" = field(repr=False)
    queue: str
    deliveries: int = 0
    moved_by: str = ""  # this system or another program, which published it under its queue's name

    @property
    def headers(self) -> dict[str, Any]:
        headers = self.event.headers
        return topology.headers_of_copy(headers, self.event.routing_key) if self.moved_by == US else dict(headers)

    @property
    def properties(self) -> dict[str, Any]:
        return {name: value for name, value in self.event.properties().items() if name != "headers"}

    @property
    def body(self) -> bytes:
        return self.event.body

    @property
    def delivery_info(self) -> dict[str, Any]:
        exchange, key = ("", self.queue) if self.moved_by else (topology.EVENTS, self.event.routing_key)
        return {"exchange": exchange, "routing_key": key, "redelivered": self.deliveries > 1}

    def ack(self) -> None:
        self.bus.world.point("crash before ack")
        self.bus.unacked.remove(self)
        self.bus.world.delivered += 1

    def reject(self) -> None:
        self.bus.world.check_alive()
        self.bus.unacked.remove(self)
        self.bus.dead.append(self)


class Bus:
    """A broker with the real topology: a list for each queue."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.queues: dict[str, list[Message]] = {service: [] for service in topology.BINDINGS}
        self.unacked: list[Message] = []
        self.dead: list[Message] = []
        self.unrouted: list[Event] = []
        self.confirmed: set[str] = set()  # the ids of the events whose publish was confirmed
        self.has_lost = False  # a message, since operators last published everything again
        self.refusing: str | None = None  # the queue that takes nothing
        self.refuses_until = 0.0

    def route(self, event: Event, *, leave_out: Sequence[str] = ()) -> None:
        receivers = topology.queues_for(event.routing_key)
        for service in receivers:
            if service not in leave_out:
                self.queues[service].append(Message(event, self, service))
        if not receivers:
            self.unrouted.append(event)

    def route_copy(self, message: Message, moved_by: str = "") -> None:
        """Put a second copy of a message at the end of its queue."""
        self.queues[message.queue].append(Message(message.event, self, message.queue, moved_by=moved_by))

    def take(self, service: str, positions: list[int]) -> list[Message]:
        """Deliver the messages at these positions of a queue."""
        queue = self.queues[service]
        taken = [queue[position] for position in positions]
        self.queues[service] = [message for message in queue if not any(message is one for one in taken)]
        for message in taken:
            message.deliveries += 1
        self.unacked += taken
        return taken

    def return_unacked(self, service: str) -> None:
        """Put a dead consumer's messages back, as the broker does. After too many deaths they are dead letters."""
        lost = [message for message in self.unacked if message.queue == service]
        self.unacked = [message for message in self.unacked if message.queue != service]
        self.dead += [message for message in lost if message.deliveries >= topology.DELIVERY_LIMIT]
        self.queues[service][:0] = [message for message in lost if message.deliveries < topology.DELIVERY_LIMIT]

    def requeue_dead(self) -> None:
        """Put every dead letter back into its queue, as an operator does with `dead-letters requeue`."""
        dead, self.dead = self.dead, []
        for message in dead:
            self.world.say(f"  requeued: {message.event.routing_key} {message.event.id}")
            self.route_copy(message, US)


class Broker:
    """The publisher that all processes use. It routes to the current world's queues, with the adversary's faults."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def publish(self, event: Event) -> "Future[None]":
        world, future = self._seat.world, Future[None]()
        world.at_network()
        world.point("crash before publish")
        encode(event)
        receivers = topology.queues_for(event.routing_key)
        if world.strikes("queue takes nothing"):
            world.bus.refusing = world.chance.choice([*world.bus.queues])
            world.bus.refuses_until = world.nature.now + world.chance.choice(REFUSAL_S)
        is_refused = world.strikes("publish refused")
        if is_refused or world.bus.refusing in receivers:
            refusing = world.chance.sample(receivers, world.chance.randint(0, len(receivers))) if is_refused else []
            world.bus.route(event, leave_out=[*refusing, world.bus.refusing or ""])
            future.set_exception(PublishUnconfirmedError(f"{event.id}: the broker refused the message (nack)"))
            return future
        world.bus.route(event)
        if world.strikes("publish timeout"):
            future.set_exception(PublishUnconfirmedError(f"{event.id}: no confirm within the timeout"))
        else:
            world.bus.confirmed.add(event.id)
            future.set_result(None)
        world.point("crash after publish")
        return future

    def wait(self, *futures: "Future[None]") -> None:
        for future in futures:
            future.result()

    def check(self) -> None:
        """Do nothing: the broker can always be reached."""

    def close(self) -> None:
        """Close nothing."""


class Inline(Background):
    """Runs the calls of a consumer at once, instead of on a thread of their own."""

    def submit(self, call: Callable[[], Result]) -> "Future[Result]":
        future: Future[Result] = Future()
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the consumer waits
            future.set_exception(error)
        return future


class NoConnection:
    """The broker's connection while messages are held: time passes until the database is back."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.transport = SimpleNamespace(driver_type="memory")  # there is no broker to give messages back to

    def drain_events(self, timeout: float) -> None:
        self._seat.world.nature.advance(timeout)
        raise TimeoutError

    def heartbeat_check(self) -> None:
        """Send no heartbeat."""


class Wakeup(Signal):
    """A signal without threads. It must not be set by a transaction that has not committed yet."""

    def __init__(self, database: "WorldDatabase") -> None:
        super().__init__()
        self._database = database
        self.is_set = False

    def set(self) -> None:
        if self._database.open_writes:
            self._database.world.violate(f"{self._database.service} was woken before the commit")
        self.is_set = True

    def wait(self, timeout: float) -> bool:
        woken, self.is_set = self.is_set, False
        return woken


class Silence:
    """The broker's connection while the queue is empty."""

    transport = SimpleNamespace(driver_type="memory")

    def drain_events(self, timeout: float) -> None:
        raise TimeoutError

    def heartbeat_check(self) -> None:
        """Send no heartbeat."""


class WorldDatabase(Database):
    """A service's database, at whose transactions a process can die, and which can be away or frozen."""

    def __init__(self, service: str, seat: Seat, url: str = "sqlite://") -> None:
        super().__init__(url)
        self.service, self._seat = service, seat
        self._notifier = None  # each service is one process here, and what wakes its loops is in the process
        self.begin_world()

    def begin_world(self) -> None:
        """Forget the last world. Its wake-ups would be the first steps of the next one."""
        self._wakeups: dict[str, Wakeup] = {}
        self._frozen_until = 0.0
        self.open_writes = self.open_reads = 0

    @property
    def world(self) -> "World":
        """The current world."""
        return self._seat.world

    def signal(self, channel: str) -> Signal:
        return self._wakeups.setdefault(channel, Wakeup(self))

    @contextmanager
    def begin(self, *, lock_timeout_s: float | None = None) -> Iterator[Session]:
        world = self.world
        self._check_is_there(can_be_away=True)
        before = self.open_writes
        self.open_writes += 1
        try:
            with super().begin(lock_timeout_s=lock_timeout_s) as session:
                yield session
                world.point("crash before commit")
                self.open_writes = before  # from here on, the changes are there
        finally:
            self.open_writes = before
        self._after_commit_here()

    @contextmanager
    def read(self) -> Iterator[Session]:
        self._check_is_there(can_be_away=False)
        self.open_reads += 1
        try:
            with super().read() as session:
                yield session
        finally:
            self.open_reads -= 1

    @contextmanager
    def autocommit(self) -> Iterator[Execute]:
        world = self.world
        with super().autocommit() as execute:

            def execute_alive(statement: Any, parameters: Mapping[str, Any]) -> None:
                self._check_is_there(can_be_away=True)
                world.point("crash before commit")
                execute(statement, parameters)
                self._after_commit_here()

            yield execute_alive

    def _check_is_there(self, *, can_be_away: bool) -> None:
        world = self.world
        world.check_alive()
        if not world.is_process:  # the properties and the people look at any time
            return
        if world.nature.now < self._frozen_until and not world.adversary.rests:
            world.nature.advance(min(FREEZE_S))
            raise _away()
        if not can_be_away:
            return
        if not self.open_writes and not self.open_reads:
            world.let_others_act()
        if world.strikes("database frozen"):
            self._frozen_until = world.nature.now + world.chance.choice(FREEZE_S)
            world.nature.advance(min(FREEZE_S))
            raise _away()
        if world.strikes("database away"):
            raise _away()

    def _after_commit_here(self) -> None:
        self.world.point("crash after commit")
        if self.world.strikes("commit answer lost"):
            raise _away()


def _away() -> OperationalError:
    return OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked"))


class Socket:
    """The socket of a session with the mail server. It has no timeout."""

    def settimeout(self, seconds: float) -> None:
        """Set no timeout."""


class MailSession:
    """The mail server's side of one SMTP session, with the methods of `smtplib.SMTP` that a sender uses."""

    def __init__(self, world: "World") -> None:
        self._world, self._content = world, b""
        self.sock: Socket | None = Socket()

    def has_extn(self, name: str) -> bool:
        return name in ("smtputf8", "8bitmime", "size")

    def mail(self, sender: str, options: Any = ()) -> tuple[int, bytes]:
        return 250, b"ok"

    def rcpt(self, recipient: str) -> tuple[int, bytes]:
        if self._world.strikes("mail refused for now"):
            return 451, b"4.7.1 try again later"
        return 250, b"ok"

    def docmd(self, command: str) -> tuple[int, bytes]:
        return 354, b"go ahead"

    def send(self, data: bytes) -> None:
        if data != b".\r\n":
            if self._world.strikes("mail connection lost"):
                self.close()
                raise smtplib.SMTPServerDisconnected("connection lost")
            self._content = data
            return
        self._world.at_network()
        self._world.point("crash before mail")
        self._world.receive_mail(message_from_bytes(self._content, EmailMessage, policy=policy.default))
        self._world.point("crash after mail")

    def getreply(self) -> tuple[int, bytes]:
        if self._world.strikes("mail answer lost"):
            raise smtplib.SMTPServerDisconnected("connection lost")
        return 250, b"accepted"

    def rset(self) -> tuple[int, bytes]:
        return 250, b"ok"

    def quit(self) -> tuple[int, bytes]:
        return 221, b"bye"

    def close(self) -> None:
        self.sock = None


class WorldMailServer(MailServer):
    """A mail server whose connections lead to the current world."""

    seat: Seat

    def connect(self) -> Connection:
        client: Any = MailSession(self.seat.world)
        return Connection(client, spawn=lambda task: task())


class StripeClient(stripe.HTTPClient):
    """The SDK's HTTP client, whose requests go to the fake Stripe of the current world, with the adversary's faults."""

    name = "simulated"

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        world = self._seat.world
        world.check_alive()
        world.at_network()
        if world.strikes("stripe unreachable"):
            raise stripe.APIConnectionError("connection refused")
        path = url.removeprefix(STRIPE_URL)
        if world.strikes("stripe key refused"):
            world.account.faults.add(kind="api_401", count=world.chance.choice((1, 3, 8)))
        if world.strikes("stripe 500"):
            world.account.faults.add(kind="api_500", performed=world.chance.random() < 0.5)
        answer = world.installation.stripe_http.open(path, method=method.upper(), headers=headers, data=post_data)
        if world.strikes("stripe timeout after acting"):
            raise stripe.APIConnectionError("timeout")
        return answer.get_data(as_text=True), answer.status_code, dict(answer.headers)

    def close(self) -> None:
        """Close nothing."""


class ServiceTransport(httpx.BaseTransport):
    """The HTTP transport from a service or Stripe to a web process. `lost` and `unreachable` are names of faults."""

    def __init__(self, seat: Seat, process: str, app: Callable[..., Any], lost: str, unreachable: str = "") -> None:
        self._seat, self._process, self._lost, self._unreachable = seat, process, lost, unreachable
        self._inner = httpx.WSGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        world = self._seat.world
        world.check_alive()
        world.at_network()
        if self._unreachable and world.strikes(self._unreachable):
            raise httpx.ConnectError("connection refused")
        try:
            with world.running(self._process):
                response = self._inner.handle_request(request)
                world.point("crash before answer")
        except Crash as crash:
            if crash.process != self._process:
                raise
            raise httpx.ReadError("connection reset") from None
        if world.strikes(self._lost):
            raise httpx.ReadTimeout("timeout")
        return response


class Tasks(Executor):
    """Deliveries of webhooks that wait for the scheduler, which runs them in any order."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.waiting.clear()
