"""Moves of a single chain to a chosen revision, and what a move back deletes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from alembic import command

from events.database.engine import Database
from events.database.migrations import (
    Chain,
    MigrationError,
    current_revision,
    exclusive,
    is_ahead,
    known_revisions,
    newest_revision,
    statements,
)

BASE = "base"  # before the first revision
HEAD = "head"  # this release's newest revision
DELETED = re.compile(r"DROP TABLE (?:IF EXISTS )?(?P<table>\w+)|ALTER TABLE (?P<of>\w+) DROP COLUMN (?P<column>\w+)")


class DeletionError(MigrationError):
    """A move back that would delete data, without the permission to."""


@dataclass(frozen=True)
class Target:
    """A revision of one chain, written as `orders@0003`."""

    chain: Chain
    revision: str

    def __str__(self) -> str:
        return f"{self.chain.name}@{self.revision}"


@dataclass(frozen=True)
class Move:
    """The way from the database's revision to the target."""

    target: Target
    start: str

    @property
    def is_back(self) -> bool:
        """True if revisions are reverted."""
        order = [BASE, *known_revisions(self.target.chain)]
        return order.index(self.target.revision) < order.index(self.start)

    @property
    def deletions(self) -> Sequence[str]:
        """The tables and columns that the move deletes with their data. Upgrades delete none."""
        if not self.is_back:
            return ()
        found = DELETED.finditer(statements(self.target.chain, self.start, self.target.revision))
        return [
            f"table {each['table']}" if each["table"] else f"column {each['of']}.{each['column']}"
            for each in found
            if each["table"] != self.target.chain.version_table
        ]


def parse_target(chains: Sequence[Chain], text: str) -> Target:
    """Return the target that an operator named. Raises `MigrationError` with the possible names."""
    name, has_revision, revision = text.partition("@")
    if not has_revision:
        examples = " or ".join(f"{chain.name}@{newest_revision(chain)}" for chain in chains)
        raise MigrationError(f"{text} does not name a chain and its revision: use {examples}")
    by_name = {chain.name: chain for chain in chains}
    if (chain := by_name.get(name)) is None:
        raise MigrationError(f"This database has no chain {name}: use {', '.join(by_name)}")
    known = known_revisions(chain)
    if revision not in (BASE, HEAD, *known):
        raise MigrationError(f"This release has no revision {text}: use {BASE}, {', '.join(known)} or {HEAD}")
    return Target(chain, newest_revision(chain) if revision == HEAD else revision)


def move(database: Database, target: Target, *, may_delete: bool) -> Move:
    """Upgrade or downgrade one chain to the target, and return the way that it went.

    Raises `DeletionError` without a change if data would be deleted and `may_delete` is false. Raises `MigrationError`
    if only another release knows the database's revision.
    """
    chain = target.chain
    with exclusive(database) as connection:
        current = current_revision(connection, chain)
        if is_ahead(connection, chain):
            raise MigrationError(
                f"The {chain.name} tables are at revision {current}, from a later release, and only that release can"
                f" revert it: run its command `migrate --to {target}`"
            )
        connection.commit()
        made = Move(target, current or BASE)
        if made.deletions and not may_delete:
            raise DeletionError(
                f"The way back from {chain.name}@{made.start} to {target} deletes"
                f" {', '.join(made.deletions)}, with all data in them"
            )
        (command.downgrade if made.is_back else command.upgrade)(chain.config(connection), target.revision)
        connection.commit()
    return made
