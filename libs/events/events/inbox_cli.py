"""`<service> inbox`: look at what the consumer could not handle, retry it or give it up, and see who did."""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from events import inbox_operations as operations
from events.database import Database
from events.inbox import STATUSES, InboxEvent
from events.inbox_operations import DISCARD, OPEN, RETRY
from events.inbox_schemas import AuditRow, InboxDetail, InboxRow
from events.instants import Instant

Connect = Callable[[], Database]
Command = Callable[..., Any]


def actor() -> str:
    """Who acts, for the audit; a container's user may have no name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:uid {os.getuid()}"


def filters(statuses: tuple[str, ...]) -> Callable[[Command], Command]:
    """The options of a command that searches."""
    options = [
        click.option("--status", type=click.Choice(statuses)),
        click.option("--type", "type", help="Stripe's type or a routing key."),
        click.option("--correlation-id", help="The checkout id."),
        click.option("--error", help="Text in the error."),
        click.option("--received-from", type=Instant(), help="Not older than: 24h, 3d, or an instant."),
        click.option("--received-to", type=Instant(), help="Older than: 24h, 3d, or an instant."),
    ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def inbox_group(connect: Connect) -> click.Group:  # noqa: C901 - one command after the other
    @click.group(name="inbox", help="Look at and settle what the consumer could not handle.")
    def group() -> None: ...

    @group.command(name="list", help="Events, the newest first.")
    @filters(STATUSES)
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
    def list_(limit: int, as_json: bool, **wanted: Any) -> None:
        with connect().read() as session:
            rows = operations.search(session, wanted, limit=limit)
        if as_json:
            click.echo(json.dumps(InboxRow(many=True).dump(rows), indent=2))
            return
        for row in rows:
            click.echo(f"{row.received_at:%Y-%m-%dT%H:%M:%SZ} {row.status:9} {row.event_id} {row.routing_key}"
                       f" attempts={row.attempts} {row.error or ''}")  # fmt: skip

    @group.command(help="One event with its payload and traceback.")
    @click.argument("event_id")
    @click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
    def show(event_id: str, as_json: bool) -> None:
        with connect().read() as session:
            row = session.get(InboxEvent, event_id)
        if row is None:
            raise click.ClickException(f"this service has not seen {event_id}")
        facts: dict[str, Any] = InboxDetail().dump(row)
        long = {} if as_json else {name: facts.pop(name) for name in ("traceback", "payload")}
        click.echo(json.dumps(facts, indent=2))
        for text in filter(None, long.values()):
            click.echo(text)

    @group.command(help="Who did what, when and why; the latest first.")
    @click.option("--event-id", help="Only what was done to this event.")
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
    def audit(event_id: str | None, limit: int, as_json: bool) -> None:
        with connect().read() as session:
            rows = operations.audit_trail(session, limit=limit, event_id=event_id)
        if as_json:
            click.echo(json.dumps(AuditRow(many=True).dump(rows), indent=2))
            return
        for row in rows:
            click.echo(f"{row.at:%Y-%m-%dT%H:%M:%SZ} {row.actor} {row.action} {row.event_id or '-'} {row.reason or ''}")

    group.add_command(_acting(connect, RETRY, "Make unfinished events due now, with a fresh schedule."))
    group.add_command(_acting(connect, DISCARD, "Give unfinished events up; they are kept until they are pruned."))
    return group


def _acting(connect: Connect, action: str, summary: str) -> click.Command:
    @click.command(name=action, help=f"{summary}\n\nNames events by id, or by filters, or --all of them.")
    @click.argument("event_ids", nargs=-1)
    @filters(OPEN)
    @click.option("--all", "everything", is_flag=True, help="Everything that is unfinished.")
    @click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest first.")
    @click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second.")
    @click.option("--dry-run", is_flag=True, help="Say which, and change nothing.")
    @click.option("--reason", required=action == DISCARD, help="Why; it stands in the audit.")
    def command(
        event_ids: tuple[str, ...],
        everything: bool,
        limit: int | None,
        rate: float | None,
        dry_run: bool,
        reason: str | None,
        **wanted: Any,
    ) -> None:
        filtered = everything or any(value is not None for value in wanted.values())
        if bool(event_ids) == filtered:
            raise click.UsageError("give event ids, or filters, or --all: one of them.")
        if event_ids and (limit or rate or dry_run):
            raise click.UsageError("--limit, --rate and --dry-run go with filters, not with event ids.")
        by = {"actor": actor(), "reason": reason}
        if event_ids:
            _act_on(connect(), action, event_ids, by)
        elif dry_run:
            _tell(connect(), wanted, limit)
        else:
            _act_on_all(connect(), action, wanted, limit, rate, by)

    return command


def _act_on(database: Database, action: str, event_ids: tuple[str, ...], by: dict[str, Any]) -> None:
    with database.begin() as session:
        done = operations.act(session, action, event_ids, **by)
    for event_id in event_ids:
        click.echo(f"{event_id} {'done' if event_id in done else 'left alone: unknown or already finished'}")
    if len(done) < len(set(event_ids)):
        sys.exit(1)


def _tell(database: Database, wanted: dict[str, Any], limit: int | None) -> None:
    with database.read() as session:
        rows = operations.unfinished(session, wanted, limit=limit)
        matching = operations.count_unfinished(session, wanted)
    for row in rows:
        click.echo(f"{row.event_id} {row.status} {row.routing_key} {row.error or ''}")
    click.echo(f"{len(rows)} of {matching} matching would be changed.", err=True)


def _act_on_all(
    database: Database, action: str, wanted: dict[str, Any], limit: int | None, rate: float | None, by: dict[str, Any]
) -> None:
    changed = 0
    for event_ids in operations.act_on_all(database, action, wanted, limit=limit, rate=rate, **by):
        changed += len(event_ids)
        for event_id in event_ids:
            click.echo(f"{event_id} done")
        if rate and action == DISCARD:  # a retry's pace stands in the database
            time.sleep(len(event_ids) / rate)
    click.echo(f"{changed} changed." if changed else "No unfinished event matches.", err=True)
