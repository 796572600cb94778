"""Changes to many rows, in chunks with one transaction each, so that no transaction runs into a timeout."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from events.database.engine import Database
from events.database.transaction import skip_locked

CHUNK_SIZE = 1000  # rows per transaction: milliseconds each, so that it delays no one


def change_in_chunks(
    database: Database,
    keys: Select[Any],
    change: Callable[[Session, Sequence[Any]], object],
    *,
    lock: Callable[[Session, Select[Any]], Select[Any]] = skip_locked,
) -> int:
    """Call `change` with all keys that the query `keys` finds, and return their number.

    Each transaction changes at most `CHUNK_SIZE` rows. A changed row must not match `keys` any more. By default, rows
    that another transaction has locked are left out.
    """
    changed, found = 0, CHUNK_SIZE
    while found == CHUNK_SIZE:
        with database.begin() as session:
            chunk = session.scalars(lock(session, keys.limit(CHUNK_SIZE))).all()
            if chunk:
                change(session, chunk)
        found = len(chunk)
        changed += found
    return changed
