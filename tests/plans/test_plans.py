"""No list, job, claim or command reads a whole table: their statements are explained on big tables while they run.

`make plans` fills the tables with 10^6 rows and prints what each case read. In the suite there are fewer rows. For a
small table PostgreSQL rightly prefers a sequential scan, so a setting makes it avoid them there.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.database.migrations import migrate
from events.testing.fixtures import postgres_databases
from flask import Flask

from tests.plans.reading import Reader
from tests.plans.services import INBOX_LISTS, INBOX_POSTS, SERVICES, TOKEN, Service
from tests.plans.tables import fill

ROWS = int(os.environ.get("PLANS_ROWS", "10000"))  # in the biggest tables
BIG = ROWS // 20  # a table with as many rows is never read as a whole
MAX_READ = max(2000, ROWS // 40)  # rows that one part of a statement may read: a page or a chunk, far from all
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
OWN_LOOPS = ("listen",)  # reads no table
ALLOWED = {  # cases that read a whole table on purpose
    ("inventory: job publish-low-stock", "stock_items"): "An index on available pieces would slow every reservation.",
}


@dataclass(frozen=True)
class Big:
    """A service on its big database, after everything has run."""

    service: Service
    app: Flask
    rows: Mapping[str, int]
    reader: Reader


@pytest.fixture(scope="module", params=list(SERVICES))
def big(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Big]:
    service = SERVICES[request.param]
    with postgres_databases(postgres_url) as make:
        url = make()
        database = Database(url)
        migrate(database, service.chains)
        rows = fill(url, service.name, service.chains, ROWS)
        if ROWS < 100_000:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} SET enable_seqscan = off")
        database.dispose()
        database = Database(url)
        reader, app = Reader(database), service.app(database)
        _read_all(service, database, app, reader)
        yield Big(service, app, rows, reader)
        database.dispose()


def _read_all(service: Service, database: Database, app: Flask, reader: Reader) -> None:
    """Run the lists, then the events, the commands and at last the jobs, which change the most."""
    client = app.test_client()
    for url in _urls(service):
        with reader.reading(f"{service.name}: GET {url}"):
            answer = client.get(url, headers=AUTHORIZED)
            assert answer.status_code in (200, 404), (url, answer.text)
            cursor = (answer.get_json(silent=True) or {}).get("next_cursor")
            if cursor:
                next_url = f"{url}{'&' if '?' in url else '?'}{urlencode({'cursor': cursor})}"
                assert client.get(next_url, headers=AUTHORIZED).status_code == 200
    for url, body in (*INBOX_POSTS, *service.posts):
        with reader.reading(f"{service.name}: POST {url}"):
            answer = client.post(url, json=body, headers=AUTHORIZED)
            assert answer.status_code in (200, 503), (url, answer.text)  # 503: inventory does not answer
    for event in service.events():
        with reader.reading(f"{service.name}: event {event.type}"):
            assert service.deliver(database, event) in ("done", "ignored"), event.type
    for name, run in service.commands.items():
        with reader.reading(f"{service.name}: command {name}"):
            run(database)
    for loop in _loops(service, database):
        with reader.reading(f"{service.name}: job {loop[0]}"):
            loop[1]()


def _urls(service: Service) -> Iterator[str]:
    old = (utcnow() - timedelta(days=30) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for url in (*service.lists, *INBOX_LISTS):
        yield url.replace("{old}", old)


def _loops(service: Service, database: Database) -> list[tuple[str, Callable[[], object]]]:
    worker = service.worker(database)
    return [(loop.name, loop.run) for loop in worker._loops._loops if loop.name not in OWN_LOOPS]


def test_no_case_reads_a_whole_table(big: Big) -> None:
    found = [
        f"{scan.case}: {scan} in {' '.join(scan.statement.split())}"
        for scan in big.reader.scans
        if big.rows.get(scan.table, 0) >= BIG
        and (scan.is_sequential or scan.rows > MAX_READ)
        and (scan.case, scan.table) not in ALLOWED
    ]
    print(f"\n{big.service.name}: {ROWS} rows")
    for case, milliseconds in big.reader.milliseconds.items():
        read = sorted({f"{scan.table}{f' ({scan.index})' if scan.index else ''}" for scan in big.reader.of_case(case)})
        print(f"  {milliseconds:8.1f} ms  {case.partition(': ')[2]}: {', '.join(read)}")
    assert found == []


def test_every_route_and_filter_of_a_list_is_read(big: Big) -> None:
    """A new route or filter fails here until a case reads it."""
    document = big.app.test_client().get("/openapi.json").get_json()
    adapter = big.app.url_map.bind("localhost")
    read: set[str] = set()
    for url in _urls(big.service):
        parts = urlsplit(url)
        _, arguments = adapter.match(parts.path)
        path = parts.path
        for name, value in arguments.items():
            path = path.replace(str(value), f"{{{name}}}", 1)
        read |= {path, *(f"{path}?{name}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))}
    described = {
        each
        for path, methods in document["paths"].items()
        if "get" in methods
        for each in (
            path,
            *(
                f"{path}?{parameter['name']}"
                for parameter in methods["get"].get("parameters", [])
                if parameter["in"] == "query" and parameter["name"] not in ("cursor", "limit")
            ),
        )
    }
    assert described - read == set()


def test_every_job_and_event_reads_something(big: Big) -> None:
    """A job that finds nothing to do proves nothing."""
    ran = {case for case in big.reader.milliseconds if "job" in case or "command" in case or "event" in case}
    worker = big.service.worker(big.reader.database)
    expected = {f"{big.service.name}: job {loop.name}" for loop in worker._loops._loops if loop.name not in OWN_LOOPS}
    expected |= {f"{big.service.name}: command {name}" for name in big.service.commands}
    expected |= {f"{big.service.name}: event {event.type}" for event in big.service.events()}
    assert expected - ran == set()
