"""The command `migrate`: forwards, to a chosen revision, and back, on databases of other releases."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from events.cli import service_cli
from events.config import Common
from events.database import migrations
from events.database.engine import Database
from events.database.migrations import Chain, MigrationError, check, known_revisions, migrate
from events.messaging.chains import INBOX, OUTBOX
from sqlalchemy import inspect, text

CHAINS = (INBOX, OUTBOX)
Migrate = Callable[..., Result]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    return str(request.getfixturevalue("new_postgres_url")())


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.dispose()


@pytest.fixture
def run(url: str) -> Migrate:
    return command_of(url, CHAINS)


def command_of(url: str, chains: tuple[Chain, ...]) -> Migrate:
    config = dataclasses.replace(
        Common(service="orders", port=0, broker_url="memory://", operator_tokens={"ana": "token-of-ana-16ch"}),
        database_url=url,
    )
    group = service_cli("orders", load=lambda: config, app="unused", chains=chains)
    return lambda *arguments: CliRunner().invoke(group, ["migrate", *arguments])


def set_revision(database: Database, chain: Chain, revision: str) -> None:
    with database.begin() as session:
        session.execute(text(f"UPDATE {chain.version_table} SET version_num = :revision"), {"revision": revision})


def revisions(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {
            chain.name: session.scalars(text(f"SELECT version_num FROM {chain.version_table}")).one()
            for chain in CHAINS
            if inspect(session.connection()).has_table(chain.version_table)
        }


def outbox_columns(database: Database) -> set[str]:
    return {column["name"] for column in inspect(database.engine).get_columns("outbox")}


def test_command_migrates_every_chain_to_its_head(run: Migrate, database: Database) -> None:
    for _ in range(2):
        assert (run().exit_code, run().output) == (0, "migrated\n")
    assert revisions(database) == {"inbox": known_revisions(INBOX)[-1], "outbox": known_revisions(OUTBOX)[-1]}
    check(database, CHAINS)


def test_target_moves_only_its_chain(run: Migrate, database: Database) -> None:
    assert run("--to", "outbox@0001").output == "outbox: base -> 0001\n"
    assert revisions(database) == {"outbox": "0001"}
    assert run("--to", "outbox@head", "--to", "inbox@0002").exit_code == 0
    assert revisions(database) == {"inbox": "0002", "outbox": known_revisions(OUTBOX)[-1]}
    with pytest.raises(MigrationError, match="the inbox tables are missing or from an earlier release"):
        check(database, CHAINS)


def test_way_back_without_a_loss_needs_no_permission(run: Migrate, database: Database) -> None:
    run()
    assert run("--to", "inbox@0001").output == f"inbox: {known_revisions(INBOX)[-1]} -> 0001\n"
    assert revisions(database)["inbox"] == "0001"


def test_way_back_that_deletes_names_it_and_does_nothing(run: Migrate, database: Database) -> None:
    run()
    refused = run("--to", "outbox@0002")
    assert refused.exit_code == 1
    assert "The way back from outbox@0003 to outbox@0002 deletes column outbox.claimed_until" in refused.output
    assert "--delete-data" in refused.output
    assert revisions(database)["outbox"] == "0003"
    assert "claimed_until" in outbox_columns(database)


def test_permitted_way_back_deletes_and_says_so(run: Migrate, database: Database) -> None:
    run()
    done = run("--to", "outbox@0002", "--delete-data")
    assert done.output == "outbox: 0003 -> 0002\n  deleted: column outbox.claimed_until\n"
    assert "claimed_until" not in outbox_columns(database)
    assert run().exit_code == 0
    assert "claimed_until" in outbox_columns(database)


def test_way_back_to_base_names_every_table(run: Migrate, database: Database) -> None:
    run()
    refused = run("--to", "inbox@base")
    for table in INBOX.metadata.tables:
        assert f"table {table}" in refused.output
    assert run("--to", "inbox@base", "--delete-data").exit_code == 0
    assert not set(INBOX.metadata.tables) & set(inspect(database.engine).get_table_names())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("0002", "0002 does not name a chain and its revision: use inbox@0003 or outbox@0003"),
        ("orders@0002", "This database has no chain orders: use inbox, outbox"),
        ("inbox@0099", "This release has no revision inbox@0099: use base, 0001, 0002, 0003 or head"),
        ("inbox@", "This release has no revision inbox@: use base"),
    ],
)
def test_unknown_target_is_refused_with_the_known_ones(tmp_path: Path, target: str, words: str) -> None:
    refused = command_of(f"sqlite:///{tmp_path}/service.db", CHAINS)("--to", "outbox@0001", "--to", target)
    assert (refused.exit_code, words in refused.output) == (1, True), refused.output
    assert not (tmp_path / "service.db").exists()  # not even the first target was migrated


def test_later_release_is_ready_and_left_alone(run: Migrate, database: Database) -> None:
    """An undone upgrade: the previous release's job runs `migrate`, and its processes must become ready."""
    run("--to", "inbox@0002")
    set_revision(database, INBOX, "0004")
    assert (run().exit_code, run().output) == (0, "migrated\n")
    assert revisions(database) == {"inbox": "0004", "outbox": known_revisions(OUTBOX)[-1]}
    check(database, CHAINS)


def test_later_release_is_not_reverted_by_an_earlier_one(run: Migrate, database: Database) -> None:
    run()
    set_revision(database, INBOX, "0004")
    refused = run("--to", "inbox@0001", "--delete-data")
    assert refused.exit_code == 1
    assert "only that release can revert it: run its command `migrate --to inbox@0001`" in refused.output
    assert revisions(database)["inbox"] == "0004"


@pytest.mark.parametrize("revision", ["0000", "9f3c2a1b", "0003a"])
def test_revision_of_another_history_is_refused(run: Migrate, database: Database, revision: str) -> None:
    """A database of another service, or of a release that was never made from this history."""
    run()
    set_revision(database, OUTBOX, revision)
    refused = run()
    assert (refused.exit_code, f"the outbox tables are at revision {revision}" in refused.output) == (1, True)
    with pytest.raises(MigrationError, match="check that DATABASE_URL is this service's"):
        check(database, CHAINS)


def test_one_chain_ahead_does_not_hide_one_behind(run: Migrate, database: Database) -> None:
    run("--to", "inbox@head", "--to", "outbox@0001")
    set_revision(database, INBOX, "0004")
    with pytest.raises(MigrationError, match="the outbox tables are missing or from an earlier release"):
        check(database, CHAINS)


def test_missing_chain_is_not_ready(run: Migrate, database: Database) -> None:
    run("--to", "inbox@head")
    with pytest.raises(MigrationError, match="the outbox tables are missing"):
        check(database, CHAINS)


def test_lock_that_is_not_free_ends_with_the_remedy(
    new_postgres_url: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a lock timeout, every statement of the service would wait behind the migration."""
    monkeypatch.setattr(migrations, "TIMEOUTS", "SET lock_timeout = '200ms'")
    database = Database(url := new_postgres_url())
    migrate(database, (OUTBOX,), "0002")
    with database.begin() as session:
        session.execute(text("LOCK TABLE outbox IN ROW EXCLUSIVE MODE"))
        refused = command_of(url, (OUTBOX,))()
    assert refused.exit_code == 1
    assert "End the idle transactions in pg_stat_activity" in refused.output
    assert command_of(url, (OUTBOX,))().exit_code == 0
    database.dispose()


def test_database_that_ends_the_session_is_named(
    new_postgres_url: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the migration ends with its session, so nothing hides the reason."""
    monkeypatch.setattr(migrations, "TIMEOUTS", "SELECT pg_terminate_backend(pg_backend_pid())")
    url = new_postgres_url()
    refused = command_of(url, (OUTBOX,))()
    assert refused.exit_code == 1
    assert "The database did not answer: terminating connection" in refused.output
    monkeypatch.undo()
    assert command_of(url, (OUTBOX,))().exit_code == 0
