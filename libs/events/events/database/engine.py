"""One service's own database: PostgreSQL through psycopg 3, or an SQLite file to try things out.

SQLite runs in WAL mode and begins write transactions with BEGIN IMMEDIATE: a row that such a transaction has read
cannot change before the commit. On PostgreSQL, FOR UPDATE has the same effect.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, Executable, create_engine, event, make_url, text
from sqlalchemy.orm import Session, sessionmaker

from events.database.connection import CONNECT_OPTIONS, BoundedConnection
from events.database.errors import READ_ONLY
from events.database.notify import Notifier, Signal, run_after_commit
from events.database.pooler import refuse_poolers
from events.database.transaction import flush_deferred

POOL_SIZE = 10  # connections that a process keeps; the web server's threads share them
POOL_TIMEOUT_S = 5  # until a thread without a free connection gives its own thread back
SQLITE_BUSY_TIMEOUT_S = 30  # an SQLite writer waits this long for another one

Execute = Callable[[Executable, Mapping[str, Any]], object]


class Database:
    """One service's database: its connections, its transactions, and a signal for each channel (notify.py)."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_postgresql = self.engine.dialect.name == "postgresql"
        self._signals: dict[str, Signal] = {}
        self._notifier = Notifier(self.engine) if self.is_postgresql else None
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(readonly=True), expire_on_commit=False)
        event.listen(self._sessions, "after_commit", self._after_commit)

    @contextmanager
    def begin(self, *, lock_timeout_s: float | None = None) -> Iterator[Session]:
        """Provide a write transaction: committed at the end of the block, rolled back when the block raises.

        On PostgreSQL, `lock_timeout_s` replaces the database session's lock timeout for this transaction.
        """
        with self._sessions.begin() as session:
            if self.is_postgresql and lock_timeout_s is not None:
                session.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_s * 1000:.0f}"))
            yield session
            flush_deferred(session)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Provide a transaction for reads, which is never committed; on SQLite it does not wait for writers."""
        with self._readers() as session:
            yield session

    @contextmanager
    def autocommit(self) -> Iterator[Execute]:
        """Provide a function that runs each statement in its own transaction, with one round trip."""
        with self.engine.connect() as connection:
            if self.is_postgresql:
                yield connection.execution_options(isolation_level="AUTOCOMMIT").execute
            else:  # SQLite has no round trips, and `_begin_sqlite` begins every transaction

                def execute(statement: Executable, parameters: Mapping[str, Any]) -> None:
                    connection.execute(statement, parameters)
                    connection.commit()

                yield execute

    def ping(self) -> None:
        """Raise SQLAlchemy's `DBAPIError` if the database does not answer, `TimeoutError` without a free connection."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def signal(self, channel: str) -> Signal:
        """Return the signal that wakes the thread of this process that waits on a channel (notify.py)."""
        return self._signals.setdefault(channel, Signal())

    def dispose(self) -> None:
        """Wait at most `FLUSH_TIMEOUT_S` until the last `NOTIFY` is sent to waiting processes, then close the pool."""
        if self._notifier:
            self._notifier.close()
        self.engine.dispose()

    def _after_commit(self, session: Session) -> None:
        run_after_commit(session, self.signal, self._notify)

    def _notify(self, channel: str) -> None:
        if self._notifier:
            self._notifier.notify(channel)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        parsed,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # error texts are logged, and values are personal data
        connect_args=dict(CONNECT_OPTIONS),
    )
    event.listen(engine, "handle_error", _drop_read_only)
    refuse_poolers(engine, BoundedConnection.connect)
    return engine


def _drop_read_only(context: ExceptionContext) -> None:
    """Drop the connections to a server that has become read-only in a failover: new ones may reach its successor."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _prepare_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001 - SQLAlchemy's signature
    connection.isolation_level = None  # the driver begins transactions itself, too late and never IMMEDIATE
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("readonly")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
