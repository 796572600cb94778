"""Connections to PostgreSQL that end when the other side is gone: a dead host, a lost network, a frozen server.

| what is gone | who notices | after |
|---|---|---|
| this process's host, within a transaction | the server: `idle_in_transaction_session_timeout` | 10 s |
| the server's host, or the packets between | this host: `tcp_user_timeout`, keepalives | 20 s |
| the server, frozen on a host that still acknowledges packets | this process: `ANSWER_TIMEOUT_S` | 20 s |

Each database session sets its own values, so the server needs no configuration.
"""

import time
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import URL

STATEMENT_TIMEOUT_MS = 15_000  # healthy statements are far faster; a stuck one must not block a consumer
LOCK_TIMEOUT_MS = 10_000  # shorter than a statement's, so that the error names the lock
ANSWER_TIMEOUT_S = 20.0  # longer than a statement's, so that a server which answers at all answers earlier
CONNECT_TIMEOUT_S = 5  # with the timeout above, an absent database is noticed within 30 s
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000  # a transaction waits for no other service, and its locks stop others
UNACKNOWLEDGED_TIMEOUT_MS = 20_000  # for sent packets
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 10, 5, 2  # an idle connection's peer is gone after 20 s

SESSION_SETTINGS = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "lock_timeout": LOCK_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    "tcp_keepalives_idle": KEEPALIVE_IDLE_S,
    "tcp_keepalives_interval": KEEPALIVE_INTERVAL_S,
    "tcp_keepalives_count": KEEPALIVE_COUNT,
    "tcp_user_timeout": UNACKNOWLEDGED_TIMEOUT_MS,
    "timezone": "UTC",
}
CONNECT_OPTIONS: Mapping[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "options": " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items()),
    "keepalives_idle": KEEPALIVE_IDLE_S,
    "keepalives_interval": KEEPALIVE_INTERVAL_S,
    "keepalives_count": KEEPALIVE_COUNT,
    "tcp_user_timeout": UNACKNOWLEDGED_TIMEOUT_MS,
    "target_session_attrs": "read-write",  # after a failover, the host may be a replica
}

Result = TypeVar("Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server does not answer a statement in time."""

    answer_timeout_s = ANSWER_TIMEOUT_S

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Wait for the server's answer, as every statement does.

        Raises `OperationalError` and closes the connection after `answer_timeout_s` without an answer.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, self.answer_timeout_s)
        except psycopg.OperationalError as error:
            if time.monotonic() - began < self.answer_timeout_s:
                raise
            self.close()  # the answer may still come, and must not be taken for the next statement's
            raise psycopg.OperationalError(f"PostgreSQL sent no answer within {self.answer_timeout_s:g} s") from error


def connect(url: URL) -> BoundedConnection:
    """Return a new connection in autocommit mode, for use without SQLAlchemy."""
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return BoundedConnection.connect(conninfo, autocommit=True, **CONNECT_OPTIONS)
