"""Work that a transaction does once for all of its events: it locks rows ahead and defers writes to its end.

A handler is written for one event and does not know the other events of its transaction. `lock_rows` needs no query
for rows that the service's `prepare` has locked for the whole batch. Deferred writes become one statement per table.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Result, Select, String, func, inspect, select
from sqlalchemy import column as named_column
from sqlalchemy import values as value_table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import InstrumentedAttribute, Session, make_transient_to_detached
from sqlalchemy.orm.interfaces import ORMOption

Row = TypeVar("Row")
Item = TypeVar("Item")
Statement = TypeVar("Statement", bound=Select[Any])


def lock_rows(
    session: Session,
    model: type[Row],
    keys: Iterable[Any],
    *,
    by: "InstrumentedAttribute[Any] | None" = None,
    options: Sequence[ORMOption] = (),
) -> dict[Any, Row]:
    """Lock the rows with these keys until the transaction ends, and return them by key. Keys without a row are omitted.

    One call locks rows in the order of their keys, so that two calls for the same rows cannot deadlock. Rows that this
    transaction has already locked are not queried again. `by` is a unique column; the default is the primary key.
    """
    column = by if by is not None else getattr(model, next(iter(model.__table__.primary_key)).key)  # type: ignore[attr-defined]
    locked = _locked(session, model, column)
    wanted = set(keys)
    if unknown := sorted(wanted - locked.keys()):
        statement = (
            select(model).where(column.in_(unknown)).order_by(_in_python_order(session, column)).options(*options)
        )
        # SQLite has one writer, and SQLAlchemy leaves FOR UPDATE out for it.
        rows = session.scalars(statement.with_for_update(), execution_options={"populate_existing": True})
        locked.update((getattr(row, column.key), row) for row in rows)
    return {key: locked[key] for key in wanted if key in locked}


def _locked(session: Session, model: type[Row], column: Any) -> dict[Any, Row]:
    """Return the rows that the transaction has locked, by the values of a unique column."""
    found: dict[Any, Row] = session.info.setdefault("locked", {}).setdefault((model, column.key), {})
    return found


def _in_python_order(session: Session, column: Any) -> Any:
    """Return a column to order by, so that texts come in Python's order.

    PostgreSQL orders them by the database's collation, often as in a dictionary. Locks in two orders can deadlock.
    """
    is_collated = _supports_row_locks(session) and isinstance(column.type, String)
    return column.collate("C") if is_collated else column


def insert(session: Session, target: Any) -> Any:
    """Return an INSERT in the database's own dialect, which has ON CONFLICT."""
    return (postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert)(target)


def insert_once(session: Session, model: Any, **values: Any) -> bool:
    """Insert a row unless one with its key or another of its unique values exists; return True if it was inserted.

    `values` has the names of the table's columns.
    """
    key = next(iter(model.__table__.primary_key))
    return _insert_once(session, model, key, values).first() is not None  # psycopg reports no row count here


def insert_new(session: Session, model: type[Row], *, by: "InstrumentedAttribute[Any]", **values: Any) -> Row | None:
    """Insert a row unless one with its key or another of its unique values exists; return it, or None.

    The row counts as locked for `lock_rows` with the same `by`, because no other transaction sees it before the commit.
    It must not refer to a row that is not flushed yet.
    """
    with session.no_autoflush:  # the rows that wait for a flush are written together, after all these
        inserted = _insert_once(session, model, model.__table__, values).mappings().first()  # type: ignore[attr-defined]
    if inserted is None:
        return None
    row = model(**{name: inserted[column.key] for name, column in _columns(model)})  # type: ignore[arg-type]
    make_transient_to_detached(row)  # the session need not read what was just returned
    session.add(row)
    session.info.setdefault("inserted", []).append(row)
    _locked(session, model, by)[values[by.key]] = row
    return row


def _insert_once(session: Session, model: Any, returned: Any, values: Mapping[str, Any]) -> Result[Any]:
    """Insert a row and return the `returned` columns of it: no row if one with its unique values exists.

    It does not use the ORM, which needs four times as long.
    """
    statement = insert(session, model.__table__).on_conflict_do_nothing().returning(returned)
    return session.execute(statement, values)


@cache
def _columns(model: Any) -> Sequence[tuple[str, Any]]:
    """Return the attributes of a model that are columns: name and column."""
    return [(attribute.key, attribute.columns[0]) for attribute in inspect(model).column_attrs]


def for_update(session: Session, statement: Statement) -> Statement:
    """Return the statement with FOR UPDATE where the database supports it."""
    return statement.with_for_update() if _supports_row_locks(session) else statement


def skip_locked(session: Session, statement: Statement) -> Statement:
    """Return the statement with FOR UPDATE SKIP LOCKED where the database supports it.

    It leaves out the rows that another transaction has locked.
    """
    return statement.with_for_update(skip_locked=True) if _supports_row_locks(session) else statement


def _supports_row_locks(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def lock_keys(session: Session, keys: Iterable[str]) -> None:
    """Lock keys until the transaction ends, for things that have no row yet or never get one.

    One call locks its keys in sorted order, so that two calls cannot deadlock. On SQLite, which has one writer, nothing
    needs to be locked.
    """
    if _supports_row_locks(session) and (ordered := sorted(set(keys))):
        wanted = value_table(named_column("key", String), name="wanted").data([(key,) for key in ordered])
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(wanted.c.key, 0))))


def defer_insert(session: Session, model: Any, **values: Any) -> None:
    """Insert a row before the commit, in one statement with the other deferred rows of its table.

    If a row with its key or another of its unique values exists, that row stays as it is.
    """
    session.info.setdefault("deferred_rows", {}).setdefault(model, []).append(values)


def before_commit(session: Session, do: Callable[[Session, Sequence[Item]], object], item: Item) -> None:
    """Call `do` before the commit, after the deferred inserts, with the items added since its last call.

    For a batch without savepoints `do` is called once, else once in each savepoint. A failed savepoint undoes what `do`
    wrote. So `do` must only write to the database.
    """
    session.info.setdefault("before_commit", {}).setdefault(do, []).append(item)


def flush_deferred(session: Session) -> None:
    """Write the deferred rows and run the deferred calls. `Database.begin` does this before each commit."""
    while (rows := session.info.pop("deferred_rows", {})) or "before_commit" in session.info:
        session.flush()
        for model, values in rows.items():
            session.execute(insert(session, model.__table__).on_conflict_do_nothing(), values)
        if not rows:
            for do, items in session.info.pop("before_commit").items():
                do(session, items)


@contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """Run a block in a savepoint. If the block raises, only its writes and deferred writes are undone."""
    flush_deferred(session)
    before = {name: copy(kept) for name, kept in session.info.items() if name != "locked"}
    try:
        with session.begin_nested():
            yield
            flush_deferred(session)
    except BaseException:
        for row in session.info.get("inserted", [])[len(before.get("inserted", [])) :]:
            session.expunge(row)
        session.info.clear()  # the row locks too: they end with the savepoint
        session.info.update(before)
        raise
