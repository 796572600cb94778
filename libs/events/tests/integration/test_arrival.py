"""Orders that share the database of their beginning end as if each had been delivered alone."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from events.database.engine import Database
from events.testing.arrival import each_order
from sqlalchemy import text


def test_each_order_has_only_its_own_facts(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/facts.db")
    orders: list[tuple[str, ...]] = [*permutations("abc"), ("a",), ("a", "a"), ()]
    delivered: list[str] = []

    def facts() -> list[str]:
        with database.read() as session:
            return list(session.scalars(text("SELECT fact FROM facts ORDER BY rowid")))

    def deliver(before: Sequence[str], fact: str) -> None:
        assert facts() == list(before)
        delivered.append(fact)
        with database.begin() as session:
            session.execute(text("INSERT INTO facts VALUES (:fact)"), {"fact": fact})

    with database.begin() as session:
        session.execute(text("CREATE TABLE facts (fact TEXT)"))
    seen: list[tuple[str, ...]] = []
    for order in each_order(database, orders, deliver):
        assert facts() == list(order)
        seen.append(tuple(order))
        deliver(order, "the caller's own")
    assert (sorted(seen), facts()) == (sorted(orders), [])
    assert len(delivered) - len(orders) == 3 + 6 + 6 + 1  # each beginning once, of one, two and three facts
    database.dispose()
