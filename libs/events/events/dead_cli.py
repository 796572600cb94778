"""`<service> dead`: read what lies in the service's dead queue, return it to the service or drop it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import pika

from events import inbox_operations
from events.config import Common
from events.database import Database
from events.dead import DeadMessage, DeadQueue, dead_queue
from events.inbox_cli import actor

RETURN, DROP = "return", "drop"
HELP = """Messages that could not be decoded, or killed their consumer too often.

BROKER_URL must bear a user who may read <service>.dead and, to return, write to the default exchange."""


def dead_group(load: Callable[[], Common]) -> click.Group:
    @click.group(name="dead", help=HELP)
    def group() -> None: ...

    @group.command(name="list", help="The dead messages, the oldest first; none is taken away.")
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
    def list_(limit: int, as_json: bool) -> None:
        with _open(load()) as queue:
            found = [message for message, _ in zip(queue.messages(), range(limit), strict=False)]
        if as_json:
            click.echo(json.dumps([_facts(message) for message in found], indent=2, default=str))
            return
        if not found:
            click.echo("Nothing lies there, unless somebody else has it in hand at this moment.", err=True)
        for message in found:
            click.echo(f"{message.died_at} {message.reason} {message.reference} {message.routing_key}"
                       f" {len(message.body)} bytes")  # fmt: skip

    @group.command(help="One dead message with its headers and body.")
    @click.argument("reference")
    def show(reference: str) -> None:
        with _open(load()) as queue:
            message = next((each for each in queue.messages() if each.reference == reference), None)
        if message is None:
            raise click.ClickException(f"{reference} is not in the dead queue")
        click.echo(json.dumps(_facts(message), indent=2, default=str))
        click.echo(message.body.decode("utf-8", "replace"))

    group.add_command(_settling(load, RETURN, "Put dead messages back into the service's queue."))
    group.add_command(_settling(load, DROP, "Throw dead messages away, for ever."))
    return group


def _settling(load: Callable[[], Common], action: str, summary: str) -> click.Command:
    @click.command(name=action, help=summary)
    @click.argument("references", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All that lie there now.")
    @click.option("--reason", required=action == DROP, help="Why; it stands in the audit.")
    def command(references: tuple[str, ...], everything: bool, reason: str | None) -> None:
        if bool(references) == everything:
            raise click.UsageError("give references as `dead list` shows them, or --all.")
        config = load()
        database, left = Database(config.database_url), set(references)
        with _open(config) as queue:
            settle = queue.give_back if action == RETURN else queue.drop
            for message in queue.messages():
                if everything or message.reference in references:
                    settle(message, partial(_note, database, action, message, reason))
                    left.discard(message.reference)
                    click.echo(f"{message.reference} done")
        if left:
            raise click.ClickException(f"not in the dead queue: {', '.join(sorted(left))}")

    return command


def _note(database: Database, action: str, message: DeadMessage, reason: str | None) -> None:
    with database.begin() as session:
        inbox_operations.audit(session, f"dead {action}", [message.reference[:255]], actor=actor(), reason=reason)


@contextmanager
def _open(config: Common) -> Iterator[DeadQueue]:
    """The dead queue, with errors for people."""
    if config.broker_url.startswith("memory://"):
        raise click.ClickException("the embedded broker lives inside the demo's process: nothing to see from here.")
    try:
        with dead_queue(config.broker_url, config.service) as queue:
            yield queue
    except pika.exceptions.AMQPError as error:
        raise click.ClickException(
            f"the broker refuses or is away; what is not said done is left: {error!r}"
        ) from error


def _facts(message: DeadMessage) -> dict[str, Any]:
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
