"""Every revision expands only, and blocks no one: squawk reads the SQL that each one runs on PostgreSQL."""

import re
from pathlib import Path

import pytest
import yaml
from events.database.migrations import LOCK_TIMEOUT, STATEMENT_TIMEOUT, Chain, known_revisions, statements
from sqlalchemy import MetaData

from tests.e2e.processes import ROOT
from tests.upgrade.revisions import all_chains, squawk, write_upgrades, write_ways_back

# A contraction is right only if no process of the previous release uses what goes. Each entry says why.
EXEMPT = {
    (
        "outbox@0002",
        "ban-drop-function",
    ): "The trigger's function. Without it, a relay of the previous release finds its"
    " rows by polling, at most 5 s later.",
}
# A way back deletes what its revision added. `migrate --to` names it and asks for the permission.
DELETING = ("ban-drop-column", "ban-drop-table")
REVISION = """
from alembic import op
import sqlalchemy as sa
from events.database.indexes import create_index
revision, down_revision = "{revision}", {before!r}
def upgrade():
    {statement}
def downgrade():
    pass
"""
BAD = {
    "op.drop_column('orders', 'email')": "ban-drop-column",
    "op.drop_table('orders')": "ban-drop-table",
    "op.rename_table('orders', 'purchases')": "renaming-table",
    "op.alter_column('orders', 'email', new_column_name='address')": "renaming-column",
    "op.alter_column('orders', 'email', type_=sa.Integer())": "changing-column-type",
    "op.alter_column('orders', 'email', nullable=False)": "adding-not-nullable-field",
    "op.alter_column('orders', 'email', server_default=None)": "ban-drop-default",
    "op.add_column('orders', sa.Column('n', sa.BigInteger(), nullable=False))": "adding-required-field",
    "op.create_index('ix', 'orders', ['email'])": "require-concurrent-index-creation",
    "op.drop_index('ix')": "require-concurrent-index-deletion",
    "op.create_check_constraint('ck', 'orders', 'n > 0')": "constraint-missing-not-valid",
    "op.create_unique_constraint('uq', 'orders', ['email'])": "disallowed-unique-constraint",
    "op.drop_constraint('ck', 'orders')": "ban-drop-constraint",
}


def test_upgrades_only_expand_and_block_no_one(tmp_path: Path) -> None:
    found = squawk([file for chain in all_chains() for file in write_upgrades(chain, tmp_path)])
    assert {(name, rule) for name, rules in found.items() for rule in rules} == set(EXEMPT)


def test_ways_back_block_no_one(tmp_path: Path) -> None:
    found = squawk([file for chain in all_chains() for file in write_ways_back(chain, tmp_path)], DELETING)
    assert found == {}


def test_rows_change_in_another_transaction_than_tables(tmp_path: Path) -> None:
    """A new column's lock blocks the service until its transaction ends. An update of all rows takes long."""
    files = [file for chain in all_chains() for file in write_upgrades(chain, tmp_path)]
    assert [file.stem for file in files if changes_rows_under_lock(file.read_text())] == []


def changes_rows_under_lock(statements: str) -> bool:
    rows = re.compile(r"^(UPDATE|DELETE FROM|INSERT INTO) (?!\w+_version\b)", re.MULTILINE)
    return any("ALTER TABLE" in block and rows.search(block) for block in statements.split("COMMIT;"))


def test_update_under_the_lock_of_a_new_column_is_found(chain: Chain) -> None:
    add, update = "op.add_column('orders', sa.Column('n', sa.BigInteger()))", "op.execute('UPDATE orders SET n = 1')"
    text = REVISION.format(revision="0002", before="0001", statement=f"{add}; {update}")
    (chain.versions / "0002_second.py").write_text(text)
    assert changes_rows_under_lock(statements(chain, "0001", "0002"))


@pytest.mark.parametrize("chain", all_chains(), ids=lambda chain: chain.name)
def test_revisions_are_consecutive_numbers(chain: Chain) -> None:
    """The readiness distinguishes the tables of a later release from foreign ones by the number."""
    assert known_revisions(chain) == tuple(f"{number:04d}" for number in range(1, len(known_revisions(chain)) + 1))


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    (tmp_path / "0001_first.py").write_text(REVISION.format(revision="0001", before=None, statement="pass"))
    return Chain("shop", MetaData(), tmp_path)


@pytest.mark.parametrize("statement", BAD)
def test_revision_that_contracts_or_blocks_is_found(chain: Chain, statement: str) -> None:
    text = REVISION.format(revision="0002", before="0001", statement=statement)
    (chain.versions / "0002_second.py").write_text(text)
    assert BAD[statement] in squawk(list(write_upgrades(chain, chain.versions)))["shop@0002"]


def test_statements_without_timeouts_are_found(chain: Chain) -> None:
    statement = "op.add_column('orders', sa.Column('n', sa.BigInteger()))"
    text = REVISION.format(revision="0002", before="0001", statement=statement)
    (chain.versions / "0002_second.py").write_text(text)
    timeouts = f"SET statement_timeout = '{STATEMENT_TIMEOUT}'; SET lock_timeout = '{LOCK_TIMEOUT}';"
    written = statements(chain, "0001", "0002")
    assert timeouts in written
    file = chain.versions / "without.sql"
    file.write_text(written.replace(timeouts, ""))
    assert squawk([file]) == {"without": ["require-lock-timeout", "require-statement-timeout"]}


def test_ci_fetches_the_history_that_the_upgrade_needs() -> None:
    """Without its history, a copy skips the test of the upgrade from the previous release."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    testing = {name: job["steps"] for name, job in jobs.items() if ".ci/run" in str(job) or "make test " in str(job)}
    assert testing.keys() >= {"test", "coverage"}
    for name, steps in testing.items():
        [checkout] = [step for step in steps if str(step.get("uses")).startswith("actions/checkout@")]
        assert checkout["with"]["fetch-depth"] == 0, name
