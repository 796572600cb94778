"""Connection poolers are refused with the reason. A proxy behaves here as pgbouncer does in a handshake."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
from events.database.engine import Database
from events.database.migrations import migrate
from events.database.pooler import PoolerError
from events.messaging.chains import OUTBOX

PLAIN = "?sslmode=disable&gssencmode=disable"  # the handshake's messages can be read
KEY_DATA = b"K"  # the server's message with its process and the key to cancel statements
REFUSAL = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Handle each connection to a port on a thread of its own, and provide the port."""

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def proxy_to(address: tuple[str, int], announced: Callable[[int], int]) -> Callable[[socket.socket], None]:
    """Return a proxy that changes the server process that the handshake announces."""

    def handle(client: socket.socket) -> None:
        with client, closing(socket.create_connection(address)) as server, suppress(OSError):  # closed by an end
            threading.Thread(target=copy, args=(client, server), daemon=True).start()
            stream = server.makefile("rb")
            while kind := stream.read(1):
                length = stream.read(4)
                body = stream.read(struct.unpack("!I", length)[0] - 4)
                if kind == KEY_DATA:
                    body = struct.pack("!i", announced(struct.unpack("!i", body[:4])[0])) + body[4:]
                client.sendall(kind + length + body)

    return handle


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # its handler closes both connections when the server is done
        while data := source.recv(65536):
            target.sendall(data)


def refuse_settings(client: socket.socket) -> None:
    """Answer as pgbouncer does to a session's settings, unless `ignore_startup_parameters` names them."""
    with client:
        client.recv(65536)
        client.sendall(b"E" + struct.pack("!I", len(REFUSAL) + 4) + REFUSAL)


def through(url: str, port: int) -> Database:
    parts = urlsplit(url)
    address = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
    return Database(urlunsplit(parts._replace(netloc=address)) + PLAIN)


def test_pooler_is_refused_at_its_first_connection(new_postgres_url: Callable[..., str]) -> None:
    url = new_postgres_url()
    parts = urlsplit(url)
    with serving(proxy_to((str(parts.hostname), parts.port or 5432), lambda process: -process)) as port:
        database = through(url, port)
        with pytest.raises(PoolerError, match="Use the address of PostgreSQL itself"):
            database.ping()
        with pytest.raises(PoolerError):
            migrate(database, [OUTBOX])
        database.dispose()


def test_tcp_proxy_is_no_pooler(new_postgres_url: Callable[..., str]) -> None:
    url = new_postgres_url()
    parts = urlsplit(url)
    with serving(proxy_to((str(parts.hostname), parts.port or 5432), lambda process: process)) as port:
        database = through(url, port)
        database.ping()
        database.dispose()


def test_pooler_that_refuses_session_settings_is_named() -> None:
    with serving(refuse_settings) as port:
        database = through("postgresql://someone:secret@host/none", port)
        with pytest.raises(PoolerError, match="pgbouncer"):
            database.ping()
        database.dispose()
