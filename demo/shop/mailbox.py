"""A mail catcher: a local SMTP server that keeps every e-mail and sends none."""

import asyncio
import email
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default as modern

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Mail:
    """A caught e-mail, with its headers decoded."""

    id: str
    to: tuple[str, ...]  # the envelope's recipients, including blind copies
    sender: str
    subject: str
    date: datetime  # the time of its arrival
    text: str
    html: str
    message: EmailMessage = field(repr=False)  # with all headers


class Mailbox:
    """An SMTP server on a local port, and the e-mails that it caught."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port  # with 0, `start` sets a free one
        self._mails: list[Mail] = []
        self._arrival = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening. Raise `OSError` if the port is in use."""
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._serve, args=(listening,), name="mailbox", daemon=True)
        self._thread.start()
        self.port = listening.result()

    def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop = self._thread = None

    @property
    def messages(self) -> list[Mail]:
        """A copy of the list of caught e-mails, oldest first."""
        with self._arrival:
            return list(self._mails)

    def wait_for(self, predicate: Callable[[Mail], bool], timeout: float = 10) -> Mail:
        """Return the first e-mail that matches, waiting for it if necessary. Raise `TimeoutError` after `timeout` s."""
        found: list[Mail] = []

        def search() -> bool:
            found.extend(mail for mail in self._mails if predicate(mail))
            return bool(found)

        with self._arrival:
            if not self._arrival.wait_for(search, timeout):
                subjects = [mail.subject for mail in self._mails]
                raise TimeoutError(f"No matching e-mail arrived within {timeout} s. Subjects so far: {subjects}")
        return found[0]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's names
        """Store an e-mail. aiosmtpd calls this for each one."""
        content = envelope.original_content or b""
        with self._arrival:
            self._mails.append(parse(str(len(self._mails) + 1), envelope.rcpt_tos, content))
            self._arrival.notify_all()
        return "250 Caught"

    def _session(self) -> SMTP:
        return SMTP(self, enable_SMTPUTF8=True, hostname="localhost", loop=self._loop)

    def _serve(self, listening: "Future[int]") -> None:
        self._loop = loop = asyncio.new_event_loop()
        try:
            server = loop.run_until_complete(loop.create_server(self._session, self.host, self.port))
        except OSError as error:
            loop.close()
            self._loop = None
            listening.set_exception(error)
            return
        listening.set_result(server.sockets[0].getsockname()[1])
        loop.run_forever()
        server.close()
        clients = asyncio.all_tasks(loop)  # one task per open connection
        for client in clients:
            client.cancel()
        if clients:  # without tasks, gather would look for a running loop
            loop.run_until_complete(asyncio.gather(*clients, return_exceptions=True))
        loop.run_until_complete(server.wait_closed())
        loop.close()


def parse(id: str, recipients: list[str], content: bytes) -> Mail:  # noqa: A002 - the field's name
    """Return the e-mail with this id and content, as received now."""
    message = email.message_from_bytes(content, policy=modern)
    return Mail(
        id=id,
        to=tuple(recipients),
        sender=str(message["from"] or ""),
        subject=str(message["subject"] or ""),
        date=datetime.now(UTC),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        message=message,
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""  # SMTP changes the line ends
