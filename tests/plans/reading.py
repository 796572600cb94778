"""The rows that statements read: each statement is explained right before it runs, in the same transaction."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from events.database.engine import Database
from psycopg import sql
from sqlalchemy import event

EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")
REPEATS = 3  # a job repeats its statements; the first ones say it all


@dataclass(frozen=True)
class Scan:
    """The rows of one table that one node of a plan read, and how."""

    case: str
    statement: str
    node: str
    table: str
    index: str
    rows: int

    @property
    def is_sequential(self) -> bool:
        """True if the node reads the table from its beginning, without an index."""
        return self.node == "Seq Scan"

    def __str__(self) -> str:
        return f"{self.node} on {self.table}{f' by {self.index}' if self.index else ''}: {self.rows} rows"


class Reader:
    """Explains every statement of a database while a case is named, and collects the scans."""

    def __init__(self, database: Database) -> None:
        self.database, self.scans = database, list[Scan]()
        self.milliseconds: Counter[str] = Counter()
        self._case: str | None = None
        self._seen: Counter[tuple[str, str]] = Counter()
        event.listen(database.engine, "before_cursor_execute", self._explain)

    @contextmanager
    def reading(self, case: str) -> Iterator[None]:
        """Collect what the block's statements read. Statements of other threads count, too."""
        self._case = case
        try:
            yield
        finally:
            self._case = None

    def of_case(self, case: str) -> list[Scan]:
        """Return the scans of one case."""
        return [scan for scan in self.scans if scan.case == case]

    def _explain(
        self, connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        case = self._case
        if case is None or executemany or not statement.lstrip().upper().startswith(EXPLAINED):
            return
        self._seen[case, statement] += 1
        if self._seen[case, statement] > REPEATS or "pg_advisory" in statement or "pg_notify" in statement:
            return
        raw = connection.connection.dbapi_connection
        with raw.transaction(force_rollback=True):  # a savepoint, if the statement is in a transaction
            row = raw.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + sql.SQL(statement), parameters).fetchone()
        [plan] = row[0] if isinstance(row[0], list) else json.loads(row[0])
        self.milliseconds[case] += plan["Execution Time"]
        for node in _nodes(plan["Plan"]):
            if "Scan" in node["Node Type"]:
                self.scans.append(_scan(case, statement, node))


def _scan(case: str, statement: str, node: Mapping[str, Any]) -> Scan:
    removed = sum(node.get(f"Rows Removed by {reason}", 0) for reason in ("Filter", "Index Recheck"))
    rows = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    table = node.get("Relation Name") or node.get("Index Name") or node.get("Alias") or ""
    return Scan(case, statement, node["Node Type"], table, node.get("Index Name", ""), rows)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
