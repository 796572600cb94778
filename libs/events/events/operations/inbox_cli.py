"""The commands `<service> inbox list|show|audit|retry|discard`."""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from events.database.engine import Database
from events.messaging.inbox_models import IGNORED, UNFINISHED, InboxEvent, InboxStatus
from events.operations import inbox as operations
from events.operations.click_types import FilterText, Instant, Rate
from events.operations.inbox import DISCARD, RETRY
from events.operations.inbox_schemas import AuditRow, InboxDetail, InboxRow

Connect = Callable[[], Database]
Command = Callable[..., Any]

DONE = {RETRY: "scheduled for a retry", DISCARD: "discarded"}


def actor() -> str:
    """Return the actor for the audit: `cli:` and the system user's name, or number if there is no name (containers)."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:uid {os.getuid()}"


def filters(statuses: tuple[str, ...]) -> Callable[[Command], Command]:
    """Return a decorator that adds the search options."""
    options = [
        click.option("--status", type=click.Choice(statuses)),
        click.option("--type", "type", type=FilterText(), help="Stripe's type or a routing key."),
        click.option("--correlation-id", type=FilterText(), help="The checkout id."),
        click.option(
            "--error", type=FilterText(), help="Part of the error text. Without --status, ignored events are left out."
        ),
        click.option(
            "--received-from", type=Instant(), help="Received then or later: an age such as 24h or 3d, or an instant."
        ),
        click.option("--received-to", type=Instant(), help="Received before: an age such as 24h or 3d, or an instant."),
    ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def inbox_group(connect: Connect) -> click.Group:  # noqa: C901 - one command after the other
    """Return the group `inbox` with its commands. `connect` returns the service's database."""

    @click.group(
        name="inbox", help="Search the events that this service has received; retry or discard unfinished ones."
    )
    def group() -> None: ...

    @group.command(name="list", help="List events, newest first.")
    @filters(tuple(status.value for status in InboxStatus))  # click would name an enumeration's members in capitals
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def list_(limit: int, as_json: bool, **wanted: Any) -> None:
        with connect().read() as session:
            rows = operations.search(session, wanted, limit=limit)
        if as_json:
            click.echo(json.dumps(InboxRow(many=True).dump(rows), indent=2))
            return
        for row in rows:
            click.echo(f"{row.received_at:%Y-%m-%dT%H:%M:%SZ} {row.status:9} {row.event_id} {row.routing_key}"
                       f" attempts={row.attempts} {row.error or ''}")  # fmt: skip

    @group.command(help="Show one event with its payload and traceback.")
    @click.argument("event_id")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def show(event_id: str, as_json: bool) -> None:
        with connect().read() as session:
            row = session.get(InboxEvent, event_id)
        if row is None:
            raise click.ClickException(
                f"{event_id} is not in this inbox. It never arrived, or it was deleted after 35 days."
            )
        facts: dict[str, Any] = InboxDetail().dump(row)
        long = {} if as_json else {name: facts.pop(name) for name in ("traceback", "payload")}
        click.echo(json.dumps(facts, indent=2))
        for text in filter(None, long.values()):
            click.echo(text)

    @group.command(help="List operators' actions with their reasons, newest first.")
    @click.option("--event-id", help="Only actions on this event.")
    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def audit(event_id: str | None, limit: int, as_json: bool) -> None:
        with connect().read() as session:
            rows = operations.audit_trail(session, limit=limit, event_id=event_id)
        if as_json:
            click.echo(json.dumps(AuditRow(many=True).dump(rows), indent=2))
            return
        for row in rows:
            click.echo(
                f"{row.acted_at:%Y-%m-%dT%H:%M:%SZ} {row.actor} {row.action} {row.event_id or '-'} {row.reason or ''}"
            )

    group.add_command(
        _action(
            connect,
            RETRY,
            "Make unfinished events due now and restart their schedule. --status ignored: events that had no handler.",
        )
    )
    group.add_command(
        _action(
            connect,
            DISCARD,
            "Discard unfinished events: they are not retried any more. Their rows stay until they are pruned.",
        )
    )
    return group


def _action(connect: Connect, action: str, summary: str) -> click.Command:
    @click.command(name=action, help=f"{summary}\n\nGive event ids, or filters, or --all.")
    @click.argument("event_ids", nargs=-1)
    @filters((*UNFINISHED, IGNORED) if action == RETRY else UNFINISHED)
    @click.option("--all", "everything", is_flag=True, help="All unfinished events.")
    @click.option("--limit", type=click.IntRange(min=1), help="At most this many events, oldest first.")
    @click.option("--rate", type=Rate(), help="At most this many events per second.")
    @click.option("--dry-run", is_flag=True, help="List the events and change nothing.")
    @click.option("--reason", required=action == DISCARD, help="The reason, for the audit.")
    def command(
        event_ids: tuple[str, ...],
        everything: bool,
        limit: int | None,
        rate: float | None,
        dry_run: bool,
        reason: str | None,
        **wanted: Any,
    ) -> None:
        is_filtered = any(value is not None for value in wanted.values())
        if sum([bool(event_ids), is_filtered, everything]) != 1:
            raise click.UsageError("Give event ids, or filters, or --all: exactly one of them.")
        if event_ids and (limit or rate or dry_run):
            raise click.UsageError("--limit, --rate and --dry-run need filters or --all, not event ids.")
        by = {"actor": actor(), "reason": reason}
        if event_ids:
            _act_on(connect(), action, event_ids, by)
        elif dry_run:
            _print_matching(connect(), wanted, limit)
        else:
            _act_on_all(connect(), action, wanted, limit, rate, by)

    return command


def _act_on(database: Database, action: str, event_ids: tuple[str, ...], by: dict[str, Any]) -> None:
    with database.begin() as session:
        done = operations.apply_action(session, action, event_ids, **by)
    for event_id in event_ids:
        click.echo(f"{event_id} {DONE[action] if event_id in done else 'unchanged: unknown or already finished'}")
    if len(done) < len(set(event_ids)):
        sys.exit(1)


def _print_matching(database: Database, wanted: dict[str, Any], limit: int | None) -> None:
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
    for event_ids in operations.apply_action_to_all(database, action, wanted, limit=limit, rate=rate, **by):
        changed += len(event_ids)
        for event_id in event_ids:
            click.echo(f"{event_id} {DONE[action]}")
        if rate and action == DISCARD:  # the schedule of retries is in the database
            time.sleep(len(event_ids) / rate)
    click.echo(f"{changed} changed." if changed else "No matching event can be changed.", err=True)
