"""One service's own database: PostgreSQL through psycopg 3, or an SQLite file for trying things out.

SQLite runs in WAL mode and its write transactions begin with BEGIN IMMEDIATE, so that a row read in one cannot
change before the commit: what FOR UPDATE gives on PostgreSQL.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from prometheus_client import Counter
from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Executable,
    MetaData,
    Select,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import TypeDecorator, TypeEngine

from events import batch
from events.signals import Signal

POOL_SIZE = 10  # connections a process keeps; granian's threads share them
BUSY_SECONDS = 30  # how long an SQLite writer waits for another one
STATEMENT_MS = 15_000  # no statement of ours takes that long in health; a stuck one must not hold a consumer
LOCK_MS = 10_000

Statement = TypeVar("Statement", bound=Select[Any])


def utcnow() -> datetime:
    return datetime.now(UTC)


def metadata() -> MetaData:
    """A service's MetaData; named constraints are what migrations can alter."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def Json() -> TypeEngine[Any]:  # noqa: N802 - reads as the column type that it is
    """A JSON column, JSONB on PostgreSQL."""
    return JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in and out, on SQLite too, which knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} bears no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Execute = Callable[[Executable, Mapping[str, Any]], object]


class Database:
    """Sessions on one database, and a signal for each channel on which its changes are announced."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self._signals: dict[str, Signal] = {}
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(readonly=True), expire_on_commit=False)
        event.listen(self._sessions, "after_commit", self._after_commit)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A write transaction: committed at the end of the block, rolled back when the block raises."""
        with self._sessions.begin() as session:
            yield session
            batch.settle(session)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; on SQLite it does not wait for writers."""
        with self._readers() as session:
            yield session

    @contextmanager
    def at_once(self) -> Iterator[Execute]:
        """Runs statements that commit by themselves, with no round trip to the server but their own."""
        with self.engine.connect() as connection:
            if self.is_postgresql:
                yield connection.execution_options(isolation_level="AUTOCOMMIT").execute
            else:  # no server, and a listener that begins each transaction itself

                def execute(statement: Executable, parameters: Mapping[str, Any]) -> None:
                    connection.execute(statement, parameters)
                    connection.commit()

                yield execute

    def ping(self) -> None:
        """Raise what the driver raises when the database cannot answer."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def signal(self, channel: str) -> Signal:
        """What wakes this process for a channel; see `wake` and `announce`."""
        return self._signals.setdefault(channel, Signal())

    def dispose(self) -> None:
        self.engine.dispose()

    def _after_commit(self, session: Session) -> None:
        if session.in_nested_transaction():
            return  # a savepoint's end, of which nobody else knows yet
        for channel in session.info.pop("announced", ()):
            self.signal(channel).set()
        for counter in session.info.pop("counted", ()):
            counter.inc()


def count(session: Session, counter: Counter) -> None:
    """After the commit, count one more: what is rolled back did not happen."""
    session.info.setdefault("counted", []).append(counter)


def wake(session: Session, channel: str) -> None:
    """After the commit, wake those in this process that wait for a channel."""
    session.info.setdefault("announced", set()).add(channel)


def announce(session: Session, channel: str) -> None:
    """After the commit, wake those that wait for a channel: here, and on PostgreSQL in every process that listens."""
    wake(session, channel)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_notify(channel, "")))


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        parsed,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes into the log, and values are personal data
        connect_args={
            "connect_timeout": 5,
            "options": f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS} -c timezone=UTC",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


def _prepare_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    connection.isolation_level = None  # the driver would begin by itself, too late and never IMMEDIATE
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("readonly")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


def insert_once(session: Session, model: Any, **values: Any) -> bool:
    """INSERT … ON CONFLICT DO NOTHING; True if this call made the row."""
    key = next(iter(model.__table__.primary_key))
    statement = batch.insert(session, model).values(**values).on_conflict_do_nothing().returning(key)
    return session.execute(statement).first() is not None  # psycopg tells no row count here


def lock(session: Session, statement: Statement) -> Statement:
    """The statement with FOR UPDATE where the database knows it."""
    return statement.with_for_update() if _locks(session) else statement


def skip_locked(session: Session, statement: Statement) -> Statement:
    """The statement with FOR UPDATE SKIP LOCKED: rows that another process has in hand are passed over."""
    return statement.with_for_update(skip_locked=True) if _locks(session) else statement


def _locks(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached or will not take us now, not that we asked wrongly.

    PostgreSQL's classes: 08 connection, 53 resources, 57P shutting down or starting up
    (https://www.postgresql.org/docs/current/errcodes-appendix.html); no SQLSTATE: the connection broke.
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
    """Whether two transactions were in each other's way, so that this one has to be done again from its beginning.

    PostgreSQL's class 40: deadlocks, serialization failures.
    """
    return isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", None)).startswith("40")
