"""Column types and metadata that every service's tables share."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, DateTime, Dialect, Index, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine


def metadata() -> MetaData:
    """Return a new MetaData that names every constraint, so that migrations can alter each of them."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def Json() -> TypeEngine[Any]:  # noqa: N802 - a column type, named like SQLAlchemy's own
    """Return a JSON column type, JSONB on PostgreSQL."""
    return JSON().with_variant(JSONB(), "postgresql")


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return a constraint that limits a text column to an enumeration's values."""
    return CheckConstraint(f"{column} IN ({quoted(values)})", name=column)


def quoted(values: Iterable[str]) -> str:
    """Return the values of an enumeration as a list in SQL."""
    return ",".join(f"'{value}'" for value in values)


def partial_index(name: str, condition: str, *columns: str) -> Index:
    """Return an index of the rows that meet a condition, for a list or a job that finds few rows among many."""
    return Index(name, *columns, postgresql_where=text(condition), sqlite_where=text(condition))


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in and out, also on SQLite, which stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the instant in UTC, for the database. Raises `ValueError` for one without a time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the stored instant, aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
