"""What a transaction does once for all of its events: it locks their rows ahead and gathers what they write.

Handlers speak of one event and know nothing of its neighbours. What they ask for by `locked` costs no query where the
service's `prepare` has locked it for the whole batch, and what they leave to the end is written in one statement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.interfaces import ORMOption

Row = TypeVar("Row")
Item = TypeVar("Item")


def locked(
    session: Session,
    model: type[Row],
    keys: Iterable[Any],
    *,
    by: "InstrumentedAttribute[Any] | None" = None,
    options: Sequence[ORMOption] = (),
) -> dict[Any, Row]:
    """The rows with these keys, as they stand now and locked until the transaction ends; without those not there.

    They are locked in the order of their keys, so that two transactions never wait for each other. What this
    transaction has locked before is not asked for again. `by`: a unique column, else the primary key.
    """
    column = by if by is not None else getattr(model, next(iter(model.__table__.primary_key)).key)  # type: ignore[attr-defined]
    held: dict[Any, Row] = session.info.setdefault("locked", {}).setdefault((model, column.key), {})
    wanted = set(keys)
    if unknown := sorted(wanted - held.keys()):
        statement = select(model).where(column.in_(unknown)).order_by(column).options(*options)
        # SQLite has one writer, and SQLAlchemy leaves FOR UPDATE out for it.
        rows = session.scalars(statement.with_for_update(), execution_options={"populate_existing": True})
        held.update((getattr(row, column.key), row) for row in rows)
    return {key: held[key] for key in wanted if key in held}


def insert(session: Session, target: Any) -> Any:
    """INSERT in the database's own dialect, which knows ON CONFLICT."""
    return (postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert)(target)


def insert_later(session: Session, model: Any, **values: Any) -> None:
    """INSERT … ON CONFLICT DO NOTHING, at the transaction's end, with all other rows of this table."""
    session.info.setdefault("rows", {}).setdefault(model, []).append(values)


def gather(session: Session, do: Callable[[Session, Sequence[Item]], object], item: Item) -> None:
    """At the transaction's end, when all is written, call `do` once with the items that were gathered for it."""
    session.info.setdefault("gathered", {}).setdefault(do, []).append(item)


def settle(session: Session) -> None:
    """Do now what was left to the end. `Database.begin` calls it before each commit."""
    while (rows := session.info.pop("rows", {})) or "gathered" in session.info:
        session.flush()
        for model, values in rows.items():
            session.execute(insert(session, model.__table__).on_conflict_do_nothing(), values)
        if not rows:
            for do, items in session.info.pop("gathered").items():
                do(session, items)


@contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """What the block does is undone when it raises, and nothing else."""
    settle(session)
    before = {name: copy(kept) for name, kept in session.info.items() if name != "locked"}
    try:
        with session.begin_nested():
            yield
            settle(session)
    except BaseException:
        session.info.clear()  # its locks too, which go with a savepoint
        session.info.update(before)
        raise
