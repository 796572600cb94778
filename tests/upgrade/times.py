"""The time of each revision on big tables, and the longest write meanwhile: `make migration-times`.

Each database begins with the first revisions, filled as `make plans` fills its tables. Then one revision after another
runs, while a connection of its own updates one row of the biggest table again and again, as the services do.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import click
import psycopg
from events.database.engine import Database
from events.database.migrations import Chain, known_revisions, migrate
from events.testing.servers.choice import private_postgres
from psycopg import sql

from bench.report import machine, milliseconds, table
from bench.soak.report import commit
from tests.e2e.processes import ROOT, WITH_DATABASE
from tests.faults.rig import create_database
from tests.plans.tables import fill

REPORT = ROOT / "bench/results/migrations.md"
WRITE_PAUSE_S = 0.01
QUIET_S = 3.0  # the same writes without a migration, for comparison
# The table that a chain's revisions change the most.
WRITTEN = {
    "inbox": "inbox",
    "outbox": "outbox",
    "orders": "orders",
    "checkout": "checkouts",
    "inventory": "reservations",
    "notifications": "emails",
}
HEAD = ("database", "revision", "seconds", "writes", "longest write (ms)")
EXPLANATION = """\
- Seconds: the whole run of one revision.
- Writes: updates of one row that another session committed meanwhile. Without any, the revision was too short for one.
- Longest write: of those. The row `no migration` has the same writes before, so a higher number shows a wait.
- All tables have their usual share of the rows. Inbox and outbox are those of each service."""


@dataclass(frozen=True)
class Measurement:
    """One line of the report."""

    service: str
    revision: str
    seconds: float
    writes_s: Sequence[float]

    def cells(self) -> Sequence[str]:
        """Return the texts of the columns."""
        longest = milliseconds(max(self.writes_s)) if self.writes_s else ""
        return self.service, self.revision, f"{self.seconds:.2f}", str(len(self.writes_s)), longest


@contextmanager
def writing(url: str, table_name: str, key: str) -> Iterator[list[float]]:
    """Update one row again and again while the block runs; yield the growing list of the times in seconds."""
    took: list[float] = []
    is_over = threading.Event()
    update = sql.SQL("UPDATE {table} SET {key} = {key} WHERE {key} = (SELECT max({key}) FROM {table})")
    statement = update.format(table=sql.Identifier(table_name), key=sql.Identifier(key))

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not is_over.wait(WRITE_PAUSE_S):
                began = time.monotonic()
                connection.execute(statement)
                took.append(time.monotonic() - began)

    thread = threading.Thread(target=write, name="writes")
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


def measure(server_url: str, service: str, rows: int) -> Iterator[Measurement]:
    """Yield the measurements of all revisions of a service's database, in the order in which `migrate` runs them."""
    chains: Sequence[Chain] = import_module(f"{service}.chains").CHAINS
    url = create_database(server_url, service)
    database = Database(url)
    for chain in chains:
        migrate(database, [chain], known_revisions(chain)[0])
    fill(url, service, chains, rows)
    for chain in chains:
        written = WRITTEN[chain.name]
        [key, *_] = chain.metadata.tables[written].primary_key.columns.keys()
        with writing(url, written, key) as quiet_s:
            time.sleep(QUIET_S)
        yield Measurement(service, f"{chain.name}: no migration", QUIET_S, quiet_s)
        for revision in known_revisions(chain)[1:]:
            with writing(url, written, key) as writes_s:
                began = time.monotonic()
                migrate(database, [chain], revision)
                seconds = time.monotonic() - began
            yield Measurement(service, f"{chain.name}@{revision}", seconds, writes_s)
    database.dispose()
    _drop(server_url, url)


def _drop(server_url: str, url: str) -> None:
    """Drop a database, because four big ones may not fit on the disk."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        name = sql.Identifier(url.rpartition("/")[2])
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Rows in the biggest tables.")
@click.option("--service", "services", multiple=True, type=click.Choice(WITH_DATABASE), help="Only this service.")
@click.option("--write/--no-write", default=True, help=f"Write {REPORT.name}.")
def main(rows: int, services: Sequence[str], write: bool) -> None:
    """Measure all revisions after the first ones on tables of ROWS rows."""
    with private_postgres() as server:
        with psycopg.connect(server.url) as connection:
            [version] = connection.execute("SHOW server_version").fetchone() or ("",)
        about = f"Commit {commit()}. {machine('not used', version)}"
        found: list[Measurement] = []
        for service in services or WITH_DATABASE:
            for each in measure(server.url, service, rows):
                click.echo(" | ".join(each.cells()))
                found.append(each)
            if write:  # after each service, because a run takes long
                REPORT.write_text(report(about, rows, found))
    click.echo(report(about, rows, found))


def report(about: str, rows: int, found: Sequence[Measurement]) -> str:
    """Return the report, with the sum of each service's revisions."""
    sums: defaultdict[str, float] = defaultdict(float)
    for each in found:
        sums[each.service] += each.seconds if "@" in each.revision else 0.0
    lines = [each.cells() for each in found]
    lines += [(service, "all", f"{seconds:.2f}", "", "") for service, seconds in sums.items()]
    title = f"# Migrations\n\n{about}\n\n`make migration-times`: {rows:,} rows in the biggest tables."
    return f"{title}\n\n{EXPLANATION}\n\n{table(HEAD, lines)}\n"


if __name__ == "__main__":
    main()
