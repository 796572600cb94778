"""Refusal of connection poolers such as pgbouncer, which hand a session's connection to others between transactions.

Through them, LISTEN gets nothing, the session's timeouts are lost, and the migrations' lock excludes no one. A process
keeps few connections and pools them itself, so a pooler has no use here. Plain TCP proxies are no poolers.
"""

from typing import Any

import psycopg
from sqlalchemy import Engine, event

UNSUPPORTED = "unsupported startup parameter"  # pgbouncer's word for the session's settings


class PoolerError(RuntimeError):
    """DATABASE_URL leads to a connection pooler, not to PostgreSQL itself."""

    def __init__(self, symptom: str) -> None:
        super().__init__(
            f"DATABASE_URL leads to a connection pooler such as pgbouncer ({symptom}). Use the address of PostgreSQL"
            " itself: LISTEN, the timeouts of a session and the lock of migrations do not work through a pooler."
        )


def refuse_poolers(engine: Engine) -> None:
    """Let each new connection of the engine raise `PoolerError` if it leads to a pooler."""
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _check_process)


def _connect(dialect: Any, record: object, arguments: Any, parameters: Any) -> Any:  # noqa: ARG001 - SQLAlchemy's
    try:
        return dialect.connect(*arguments, **parameters)
    except psycopg.OperationalError as error:
        if UNSUPPORTED not in str(error):
            raise
        raise PoolerError(UNSUPPORTED) from error


def _check_process(connection: "psycopg.Connection[Any]", record: object) -> None:  # noqa: ARG001 - SQLAlchemy's
    """Compare the server process of the handshake with the one that answers. A pooler makes up the first one."""
    [process] = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    connection.rollback()
    if process != (announced := connection.info.backend_pid):
        connection.close()
        raise PoolerError(f"it announced the server process {announced}, but {process} answers")
