"""Classification of database errors: away, locked by another database session, conflict of transactions."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

READ_ONLY = "25006"  # PostgreSQL's code for a write on a replica
LOCK_NOT_AVAILABLE = "55P03"  # another session held the row for longer than `lock_timeout`


def is_away(error: BaseException) -> bool:
    """Return True if the database cannot be reached or refuses all work; False for any other error.

    A server that has become read-only counts as away: the engine drops its connections.

    PostgreSQL's SQLSTATE classes: 08 connection, 53 resources, 57P shutting down or starting up
    (https://www.postgresql.org/docs/current/errcodes-appendix.html). No SQLSTATE means that the connection broke.
    """
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.OperationalError):
        return any(word in str(error.orig) for word in ("locked", "unable to open", "disk I/O"))
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    sqlstate = _sqlstate(error)
    return sqlstate is None or sqlstate.startswith(("08", "53", "57P"))


def is_locked(error: BaseException) -> bool:
    """Return True if the statement waited for another database session's lock for longer than `lock_timeout`."""
    return _sqlstate(error) == LOCK_NOT_AVAILABLE


def is_unavailable(error: BaseException) -> bool:
    """Return True if the same transaction can succeed later: the database is away, or a row is locked."""
    return is_away(error) or is_locked(error)


def is_conflict(error: BaseException) -> bool:
    """Return True if the database aborted the transaction because of another one, so that it must start again.

    PostgreSQL's SQLSTATE class 40: deadlocks and serialization failures.
    """
    return str(_sqlstate(error)).startswith("40")


def _sqlstate(error: BaseException) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
