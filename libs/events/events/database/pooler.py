"""Refusal of connection poolers such as pgbouncer, which give a connection to another client after each transaction.

Through a pooler, LISTEN gets nothing, a database session's timeouts are lost, and the migrations' lock excludes no one.
A process keeps few connections and pools them itself, so a pooler has no use here. Plain TCP proxies are no poolers.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, event

UNSUPPORTED = "unsupported startup parameter"  # pgbouncer's word for the session's settings


class PoolerError(RuntimeError):
    """The error for a DATABASE_URL that leads to a connection pooler, not to PostgreSQL itself."""

    def __init__(self, symptom: str) -> None:
        super().__init__(
            f"DATABASE_URL leads to a connection pooler such as pgbouncer ({symptom}). Use the address of PostgreSQL"
            " itself: LISTEN, a database session's timeouts and the lock of migrations do not work through a pooler."
        )


def refuse_poolers(engine: Engine, connect: Callable[..., "psycopg.Connection[Any]"]) -> None:
    """Open the engine's connections with `connect`, and raise `PoolerError` for one that leads to a pooler."""

    def open_connection(_dialect: object, _record: object, arguments: Any, parameters: Any) -> Any:
        try:
            return connect(*arguments, **parameters)
        except psycopg.OperationalError as error:
            if UNSUPPORTED not in str(error):
                raise
            raise PoolerError(UNSUPPORTED) from error

    event.listen(engine, "do_connect", open_connection)
    event.listen(engine, "connect", _check_process)


def _check_process(connection: "psycopg.Connection[Any]", record: object) -> None:  # noqa: ARG001 - SQLAlchemy's
    """Raise `PoolerError` if another server process answers than the handshake named: a pooler makes that one up."""
    [process] = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    connection.rollback()
    if process != (announced := connection.info.backend_pid):
        connection.close()
        raise PoolerError(f"it announced the server process {announced}, but {process} answers")
