"""The commands `<service> dead-letters list|show|requeue|delete`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import pika

from events.config import Common
from events.database.engine import Database
from events.operations import inbox
from events.operations.dead_letters import DeadLetter, DeadLetterQueue, open_dead_letters
from events.operations.inbox_cli import actor

REQUEUE, DELETE = "requeue", "delete"
DONE = {REQUEUE: "requeued", DELETE: "deleted"}
HELP = """Inspect, requeue or delete messages that cannot be decoded, or that were redelivered too often without an ack.

The user in BROKER_URL must be allowed to read <service>.dead and, to requeue, to write to the default exchange."""


def dead_letters_group(load: Callable[[], Common]) -> click.Group:
    """Return the group `dead-letters` with its commands. `load` returns the service's configuration."""

    @click.group(name="dead-letters", help=HELP)
    def group() -> None: ...

    @group.command(name="list", help="List the dead letters, oldest first. All of them stay in the queue.")
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def list_(limit: int, as_json: bool) -> None:
        with _open(load()) as queue:
            found = [message for message, _ in zip(queue.messages(), range(limit), strict=False)]
        if as_json:
            click.echo(json.dumps([_summary(message) for message in found], indent=2, default=str))
            return
        if not found:
            click.echo("No dead letters, unless another process is reading the queue right now.", err=True)
        for message in found:
            click.echo(f"{message.died_at} {message.reason} {message.reference} {message.routing_key}"
                       f" {len(message.body)} bytes")  # fmt: skip

    @group.command(help="Show one dead letter with its headers and body.")
    @click.argument("reference")
    def show(reference: str) -> None:
        with _open(load()) as queue:
            message = next((each for each in queue.messages() if each.reference == reference), None)
        if message is None:
            raise click.ClickException(
                f"{reference} was not found in the dead-letter queue. List its messages with: dead-letters list."
            )
        click.echo(json.dumps(_summary(message), indent=2, default=str))
        click.echo(message.body.decode("utf-8", "replace"))

    group.add_command(_action(load, REQUEUE, "Put dead letters back into the service's queue."))
    group.add_command(_action(load, DELETE, "Delete dead letters. This cannot be undone."))
    return group


def _action(load: Callable[[], Common], action: str, summary: str) -> click.Command:
    @click.command(name=action, help=summary)
    @click.argument("references", nargs=-1)
    @click.option(
        "--all", "everything", is_flag=True, help=f"{action.capitalize()} all dead letters that are in the queue now."
    )
    @click.option("--reason", required=action == DELETE, help="The reason, for the audit.")
    def command(references: tuple[str, ...], everything: bool, reason: str | None) -> None:
        if bool(references) == everything:
            raise click.UsageError("Give references as `dead-letters list` prints them, or --all.")
        config = load()
        database, missing = Database(config.database_url), set(references)
        with _open(config) as queue:
            act = queue.requeue if action == REQUEUE else queue.delete
            for message in queue.messages():
                if everything or message.reference in references:
                    act(message, partial(_audit, database, action, message, reason))
                    missing.discard(message.reference)
                    click.echo(f"{message.reference} {DONE[action]}")
        if missing:
            raise click.ClickException(
                f"Not found in the dead-letter queue: {', '.join(sorted(missing))}."
                " List its messages with: dead-letters list."
            )

    return command


def _audit(database: Database, action: str, message: DeadLetter, reason: str | None) -> None:
    with database.begin() as session:
        inbox.audit(session, f"dead-letter {action}", [message.reference[:255]], actor=actor(), reason=reason)


@contextmanager
def _open(config: Common) -> Iterator[DeadLetterQueue]:
    """Open the dead-letter queue, with the broker's errors as messages for an operator."""
    if config.broker_url.startswith("memory://"):
        raise click.ClickException(
            "BROKER_URL is memory://, which only the demo's own process can read. Set BROKER_URL to a RabbitMQ."
        )
    try:
        with open_dead_letters(config.broker_url, config.service) as queue:
            yield queue
    except pika.exceptions.AMQPError as error:
        raise click.ClickException(
            f"The broker refused or did not answer: {error!r}. List the messages that are still dead letters with:"
            " dead-letters list. After a requeue, they may also be in the service's queue. Requeue them again: the"
            " inbox removes duplicates."
        ) from error


def _summary(message: DeadLetter) -> dict[str, Any]:
    return {
        "reference": message.reference,
        "routing_key": message.routing_key,
        "reason": message.reason,
        "died_at": message.died_at,
        "deaths": message.deaths,
        "bytes": len(message.body),
        "properties": message.properties,
        "headers": message.headers,
    }
