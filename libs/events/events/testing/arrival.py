"""Delivery of facts to one SQLite database in many sequences. A beginning that sequences share is delivered once."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import TypeVar

from events.database.engine import Database

Fact = TypeVar("Fact")


def each_order(
    database: Database, orders: Iterable[Sequence[Fact]], deliver: Callable[[Sequence[Fact], Fact], object]
) -> Iterator[Sequence[Fact]]:
    """Deliver each sequence of facts in `orders`, and yield it while the database shows its effects.

    Each sequence begins with the database as it was before the first one, and so it is at the end. `deliver` gets the
    sequence's earlier facts, and the fact to deliver. Its effect may depend on nothing else: for sequences that begin
    with the same facts, these are delivered once. Facts must be sortable, so that such sequences follow each other.
    """
    saved, previous = [_save(database)], ()  # type: tuple[list[sqlite3.Connection], Sequence[Fact]]
    try:
        for order in sorted(orders):  # type: ignore[type-var] # sortable, as the docstring says
            shared = _count_shared(previous, order)
            while len(saved) > shared + 1:
                saved.pop().close()
            _restore(database, saved[-1])
            for place in range(shared, len(order)):
                deliver(order[:place], order[place])
                saved.append(_save(database))
            yield order
            previous = order
    finally:
        _restore(database, saved[0])
        for copy in saved:
            copy.close()


def _count_shared(one: Sequence[Fact], other: Sequence[Fact]) -> int:
    """Return the number of equal facts with which both sequences begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _save(database: Database) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    _driver_connection(database, lambda connection: connection.backup(copy))
    return copy


def _restore(database: Database, copy: sqlite3.Connection) -> None:
    _driver_connection(database, copy.backup)


def _driver_connection(database: Database, act: Callable[[sqlite3.Connection], None]) -> None:
    pooled = database.engine.raw_connection()
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection), "only SQLite's database can be copied back"
        act(connection)
    finally:
        pooled.close()
