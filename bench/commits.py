"""The rate of commits with outbox rows while each commit is delayed, as by a synchronous replica.

It compares NOTIFY after the commits, NOTIFY within each transaction, and no NOTIFY.
"""

import threading
import time
from collections.abc import Callable, Sequence

from events.database.engine import Database
from events.database.migrations import Chain, downgrade, migrate
from events.messaging import outbox
from events.messaging.chains import OUTBOX
from events.testing.servers import local

from bench.options import Options
from bench.report import RESULTS, machine, table
from bench.servers import POSTGRES_SETTINGS, Databases

DELAY_MS = 4  # a replica in the next data center
THREADS = 16  # fewer than the pool has connections
CHAINS: Sequence[Chain] = (OUTBOX,)


def run(options: Options) -> None:
    """Measure the three ways, print the table, and write it to bench/results/commits.md if the options say so."""
    delay = ("-c", f"commit_delay={DELAY_MS * 1000}", "-c", "commit_siblings=0")
    with local.postgres([*POSTGRES_SETTINGS, *delay]) as server:
        databases = Databases(server.url)
        about = machine("none", databases.settings())
        rates = {
            "one NOTIFY at most every 50 ms, after the commits": _measure(databases, options, lambda _: None),
            "NOTIFY by a trigger, in each transaction (before)": _measure(databases, options, _restore_trigger),
            "no NOTIFY": _measure(databases, options, _silence),
        }
    rows = [[name, f"{rate:.0f}"] for name, rate in rates.items()]
    result = table(["outbox rows from one process", "commits/s"], rows)
    report = (
        f"# Commits\n\n{about}\n\n"
        f"{THREADS} threads of one process add an outbox row per transaction. Each commit takes {DELAY_MS} ms longer"
        f" (commit_delay). Median of {options.repeat} runs of {options.seconds:g} s.\n\n{result}\n"
    )
    print(report)
    if options.write:
        (RESULTS / "commits.md").write_text(report)


def _measure(databases: Databases, options: Options, prepare: Callable[[Database], None]) -> float:
    database = Database(databases.create("commits"))
    migrate(database, CHAINS)
    prepare(database)
    rates = sorted(_rate(database, options.seconds) for _ in range(options.repeat))
    database.dispose()
    return rates[len(rates) // 2]


def _rate(database: Database, seconds: float) -> float:
    counts, end = [0] * THREADS, time.monotonic() + seconds

    def commit(number: int) -> None:
        data = {"checkout_id": f"chk_{number}", "session_id": "cs_1"}
        while time.monotonic() < end:
            with database.begin() as session:
                outbox.add(session, "checkout.checkout.canceled", data, correlation_id=f"chk_{number}")
            counts[number] += 1

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def _restore_trigger(database: Database) -> None:
    """Restore the first release's tables: a trigger notifies within each transaction, and the processes do not."""
    downgrade(database, OUTBOX, "0001")
    _silence(database)


def _silence(database: Database) -> None:
    database._notifier = None
