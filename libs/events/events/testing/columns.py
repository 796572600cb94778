"""A search for words in all tables of a database."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import MetaData, select

from events.database.engine import Database


def columns_with(database: Database, *words: str) -> list[str]:
    """Return every `table.column` with a value that contains one of the words, as plain text or escaped as in JSON.

    Upper and lower case are not distinguished.
    """
    metadata = MetaData()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        metadata.reflect(connection)  # many queries: on a busy machine they take longer than a transaction may be idle
    spellings = {spelling for word in words for spelling in (word.lower(), json.dumps(word.lower())[1:-1])}
    found: set[str] = set()
    with database.read() as session:
        for table in metadata.sorted_tables:
            for row in session.execute(select(table)).mappings():
                found |= {
                    f"{table.name}.{name}" for name, text in _texts(row) if any(word in text for word in spellings)
                }
    return sorted(found)


def _texts(row: Any) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if value is not None:
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            yield name, text.lower()
