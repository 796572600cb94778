"""The commands that every service has: web, worker, migrate, inbox."""

import getpass
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from events import operations
from events.config import Common
from events.database import Database
from events.errors import ConfigError
from events.inbox import STATUSES, InboxEvent
from events.migrations import Chain, migrate
from events.worker import Worker

WEB_THREADS = 32  # a request mostly waits: for a confirm, a query, Stripe


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
    @click.option("--threads", default=WEB_THREADS, show_default=True)
    @click.option("--workers", default=1, show_default=True, help="Processes; rather scale by replicas.")
    def web(threads: int, workers: int) -> None:
        from granian import Granian
        from granian.constants import Interfaces
        from granian.log import LogLevels

        config = configuration(load)
        Granian(
            app,
            factory=True,
            address="0.0.0.0",
            port=config.port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=threads,
            backlog=1024,
            workers_kill_timeout=8,
            log_access=False,
            log_level=LogLevels.error,  # its own start-up lines are no JSON
            respawn_failed_workers=True,
        ).serve()

    if create_worker is not None:

        @group.command(help="Consume the service's queue and run its periodic jobs until SIGTERM.")
        def worker() -> None:
            create_worker(configuration(load)).run()

    if chains:
        group.add_command(_migrate(load, chains))
        group.add_command(_inbox(load))
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


def _inbox(load: Callable[[], Common]) -> click.Group:  # noqa: C901 - one command after the other
    def connect() -> Database:
        return Database(configuration(load).database_url)

    @click.group(name="inbox", help="Look at and settle what the consumer could not handle.")
    def group() -> None: ...

    @group.command(name="list")
    @click.option("--status", type=click.Choice(STATUSES))
    @click.option("--type", "type_", help="Stripe's type or a routing key.")
    @click.option("--correlation-id", help="The checkout id.")
    @click.option("--error", help="Text in the error.")
    @click.option("--limit", default=50, show_default=True)
    def list_(limit: int, type_: str | None, **filters: str | None) -> None:
        with connect().read() as session:
            for row in operations.search(session, {**filters, "type": type_}, limit=limit):
                click.echo(f"{row.received_at:%Y-%m-%dT%H:%M:%SZ} {row.status:9} {row.event_id} {row.routing_key}"
                           f" attempts={row.attempts} {row.error or ''}")  # fmt: skip

    @group.command()
    @click.argument("event_id")
    def show(event_id: str) -> None:
        with connect().read() as session:
            row = session.get(InboxEvent, event_id)
        if row is None:
            raise click.ClickException(f"this service has not seen {event_id}")
        facts = {key: value for key, value in vars(row).items() if key not in ("_sa_instance_state", "body")}
        click.echo(json.dumps(facts, indent=2, default=str))
        if row.body is not None:
            click.echo(row.body.decode("utf-8", "replace"))

    def settle(action: Any, event_ids: tuple[str, ...], reason: str | None) -> None:
        with connect().begin() as session:
            done = action(session, list(event_ids), actor=f"cli:{getpass.getuser()}", reason=reason)
        for event_id in event_ids:
            click.echo(f"{event_id} {'done' if event_id in done else 'left alone: unknown or already finished'}")
        if len(done) < len(set(event_ids)):
            sys.exit(1)

    @group.command()
    @click.argument("event_ids", nargs=-1, required=True)
    @click.option("--reason")
    def retry(event_ids: tuple[str, ...], reason: str | None) -> None:
        settle(operations.retry, event_ids, reason)

    @group.command()
    @click.argument("event_ids", nargs=-1, required=True)
    @click.option("--reason")
    def discard(event_ids: tuple[str, ...], reason: str | None) -> None:
        settle(operations.discard, event_ids, reason)

    return group
