"""The commands that services share. Each service gets those that it needs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from events.config import Common
from events.database.engine import Database
from events.database.errors import is_away, is_locked
from events.database.migrations import LOCK_TIMEOUT, Chain, MigrationError, migrate
from events.database.moves import DeletionError, move, parse_target
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
    names = ", ".join(chain.name for chain in chains)

    @click.command(name="migrate")
    @click.option(
        "--to",
        "targets",
        multiple=True,
        metavar="CHAIN@REVISION",
        help=f"Move only this chain ({names}) to this revision, such as {chains[-1].name}@0001, @head or @base.",
    )
    @click.option("--delete-data", is_flag=True, help="Allow a way back that deletes tables or columns.")
    def command(targets: Sequence[str], delete_data: bool) -> None:
        """Migrate the database to this release's tables. Safe to repeat.

        Tables of a later release stay as they are: this release runs on them, so an undone upgrade needs no way back.
        """
        database = Database(configuration(load).database_url)
        with _explained_errors():
            if not targets:
                migrate(database, chains)
                click.echo("migrated")
            for target in [parse_target(chains, each) for each in targets]:
                made = move(database, target, may_delete=delete_data)
                click.echo(f"{target.chain.name}: {made.start} -> {target.revision}")
                for deleted in made.deletions:
                    click.echo(f"  deleted: {deleted}")

    return command


@contextmanager
def _explained_errors() -> Iterator[None]:
    """Turn the expected errors of a migration into messages that say what to do."""
    try:
        yield
    except DeletionError as error:
        raise click.ClickException(
            f"{error}. The previous release runs on the present tables without it. To delete the data, stop the"
            " service's processes, make a backup, and repeat the command with --delete-data."
        ) from error
    except MigrationError as error:
        raise click.ClickException(f"{error}.") from error
    except DBAPIError as error:
        if is_away(error):
            raise click.ClickException(
                f"The database did not answer: {error.orig}. Revisions that were finished before stay. Repeat the"
                " command when the database is back."
            ) from error
        if not is_locked(error):
            raise
        raise click.ClickException(
            f"Another database session holds its lock for longer than {LOCK_TIMEOUT}. Revisions that were finished"
            " before stay. End the idle transactions in pg_stat_activity, then repeat the command."
        ) from error
