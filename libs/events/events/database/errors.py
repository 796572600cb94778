"""Classification of database errors: unreachable, or in conflict with another transaction."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


def is_away(error: BaseException) -> bool:
    """Return True if the database cannot be reached or refuses connections; False if the statement was wrong.

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
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(("08", "53", "57P"))


def is_conflict(error: BaseException) -> bool:
    """Return True if the transaction lost against another one and must start again.

    PostgreSQL's SQLSTATE class 40: deadlocks and serialization failures.
    """
    return isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", None)).startswith("40")
