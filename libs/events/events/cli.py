"""The commands that services share. Each service gets those that it needs."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from events.config import Common
from events.database.engine import Database
from events.database.migrations import Chain, migrate
from events.errors import ConfigError
from events.messaging.chains import OUTBOX
from events.messaging.worker import Worker
from events.operations.dead_letters_cli import dead_letters_group
from events.operations.inbox_cli import inbox_group
from events.operations.outbox_cli import outbox_group
from events.web import server


def service_cli(
    name: str,
    *,
    load: Callable[[], Common],
    app: str,
    create_worker: Callable[[Any], Worker] | None = None,
    chains: Sequence[Chain] = (),
) -> click.Group:
    """Return a service's command group. `load` reads the configuration.

    The group has the command `web`, which serves the application that `app` names, as module:function of its factory.
    `create_worker` adds `worker` and `dead-letters`. `chains` add `migrate`, `inbox` and, with the outbox's chain,
    `outbox`.
    """

    @click.group(name=name, help=f"Clozit Payments: the {name} service.")
    def group() -> None: ...

    @group.command(help="Serve HTTP on PORT, and health on HEALTH_PORT, until SIGTERM.")
    @click.option("--threads", default=server.THREADS, show_default=True, help="Threads of each process.")
    @click.option(
        "--workers", default=1, show_default=True, help="Number of processes. Replicas are the better way to scale."
    )
    @click.option("--pin", is_flag=True, help="Pin each process to one core, for machines that run nothing else.")
    def web(threads: int, workers: int, pin: bool) -> None:
        config = configuration(load)
        server.serve(app, config.port, health_port=config.health_port, threads=threads, workers=workers, pin=pin)

    if create_worker is not None:

        @group.command(
            help="Consume the service's queue, publish its outbox (if any) and run its periodic jobs until SIGTERM."
        )
        def worker() -> None:
            create_worker(configuration(load)).run()

        group.add_command(dead_letters_group(lambda: configuration(load)))

    if chains:

        def connect() -> Database:
            return Database(configuration(load).database_url)

        group.add_command(_migrate(load, chains))
        group.add_command(inbox_group(connect))
        if OUTBOX in chains:
            group.add_command(outbox_group(connect))
    return group


def configuration(load: Callable[[], Any]) -> Any:
    """Return the configuration that `load` reads. On `ConfigError`, print each invalid setting and exit with code 2."""
    try:
        return load()
    except ConfigError as error:
        click.echo("The configuration is invalid. Correct these settings:", err=True)
        for variable, problems in sorted(error.problems.items()):
            click.echo(f"  {variable}: {' '.join(problems)}", err=True)
        sys.exit(2)


def _migrate(load: Callable[[], Common], chains: Sequence[Chain]) -> click.Command:
    @click.command(name="migrate", help="Migrate the database to this release's tables. Safe to repeat.")
    def command() -> None:
        migrate(Database(configuration(load).database_url), chains)
        click.echo("migrated")

    return command
