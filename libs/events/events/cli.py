"""The commands that every service has: web, worker, migrate, inbox, dead, outbox."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from events import server
from events.config import Common
from events.database import Database
from events.dead_cli import dead_group
from events.errors import ConfigError
from events.inbox_cli import inbox_group
from events.migrations import OUTBOX, Chain, migrate
from events.outbox_cli import outbox_group
from events.worker import Worker


def service_cli(
    name: str,
    *,
    load: Callable[[], Common],
    app: str,
    create_worker: Callable[[Any], Worker] | None = None,
    chains: Sequence[Chain] = (),
) -> click.Group:
    """A service's command group. `app` names the factory that granian's processes import, as module:function."""

    @click.group(name=name, help=f"Clozit Payments: the {name} service.")
    def group() -> None: ...

    @group.command(help="Serve HTTP on PORT until SIGTERM.")
    @click.option("--threads", default=server.THREADS, show_default=True)
    @click.option("--workers", default=1, show_default=True, help="Processes; rather scale by replicas.")
    @click.option("--pin", is_flag=True, help="Keep each process on one core; where the cores are its own.")
    def web(threads: int, workers: int, pin: bool) -> None:
        server.serve(app, configuration(load).port, threads=threads, workers=workers, pin=pin)

    if create_worker is not None:

        @group.command(help="Consume the service's queue and run its periodic jobs until SIGTERM.")
        def worker() -> None:
            create_worker(configuration(load)).run()

        group.add_command(dead_group(lambda: configuration(load)))

    if chains:

        def connect() -> Database:
            return Database(configuration(load).database_url)

        group.add_command(_migrate(load, chains))
        group.add_command(inbox_group(connect))
        if OUTBOX in chains:
            group.add_command(outbox_group(connect))
    return group


def configuration(load: Callable[[], Any]) -> Any:
    """The service's configuration; where the environment is not right, says all that is missing and exits 2."""
    try:
        return load()
    except ConfigError as error:
        click.echo("The configuration is not right:", err=True)
        for variable, problems in sorted(error.problems.items()):
            click.echo(f"  {variable}: {' '.join(problems)}", err=True)
        sys.exit(2)


def _migrate(load: Callable[[], Common], chains: Sequence[Chain]) -> click.Command:
    @click.command(name="migrate", help="Bring the database to this release's tables; safe to repeat.")
    def command() -> None:
        migrate(Database(configuration(load).database_url), chains)
        click.echo("migrated")

    return command
