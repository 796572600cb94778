"""`orders erase-customer`: erase a customer's data in every service; what was bought and paid stays."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from events.cli import configuration
from events.database.engine import Database
from events.operations.inbox_cli import actor

from orders import forgetting
from orders.config import load
from orders.forgetting import Outcome, Wish
from orders.models import Order


@click.command(name="erase-customer")
@click.option("--email", help="The customer's address; asked for where it is not given, to stay out of the history.")
@click.option("--checkout-id", "checkout_ids", multiple=True, help="These orders instead; also those forgotten before.")
@click.option("--even-open", is_flag=True, help="Also orders that are not over: nobody can ship or ask her any more.")
@click.option("--dry-run", is_flag=True, help="Say which, and change nothing.")
@click.option("--reason", help="Why; it stays on the timeline, so name nobody.")
@click.option("--by", default=actor, show_default="who runs it", help="On whose behalf; it stays on the timeline.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def forget(
    email: str | None,
    checkout_ids: Sequence[str],
    even_open: bool,
    dry_run: bool,
    reason: str | None,
    by: str,
    as_json: bool,
) -> None:
    """Forget a customer: erase the address, names and what else is personal, here and in all services.

    Amounts, lines, dates, ids and the country stay. Orders that are not over are refused by name; then it exits 1.
    May be repeated. What it cannot reach (Stripe, backups, sent mails) stands in docs/security.md.
    """
    if email and checkout_ids:
        raise click.UsageError("give --email or --checkout-id, not both.")
    database = Database(configuration(load).database_url)
    found = _found(database, email, checkout_ids)
    act = forgetting.preview if dry_run else forgetting.forget
    outcomes = [act(database, order, Wish(by, reason, even_open)) for order in found]
    (_tell_as_json if as_json else _tell)(outcomes, dry_run)
    if any(outcome.needed for outcome in outcomes):
        sys.exit(1)


def _found(database: Database, email: str | None, checkout_ids: Sequence[str]) -> Sequence[Order]:
    if not checkout_ids:
        return forgetting.orders_of(database, email or click.prompt("The customer's e-mail address", err=True))
    found = forgetting.orders_of_checkouts(database, checkout_ids)
    if unknown := set(checkout_ids) - {order.checkout_id for order in found}:
        raise click.ClickException(f"there is no order of {', '.join(sorted(unknown))}.")
    return found


def _tell(outcomes: Sequence[Outcome], dry_run: bool) -> None:
    for outcome in outcomes:
        click.echo(f"{outcome.number} {outcome.checkout_id}: {'refused' if outcome.needed else _word(dry_run)}")
        for needed in outcome.needed:
            click.echo(f"  {needed}")
    refused = sum(bool(outcome.needed) for outcome in outcomes)
    if outcomes:
        click.echo(f"{_word(dry_run)}: {len(outcomes) - refused}, refused: {refused}.")
    else:
        click.echo("No order bears this address: nothing was left to forget, or it is written in another way.")


def _tell_as_json(outcomes: Sequence[Outcome], dry_run: bool) -> None:
    told: dict[str, Any] = {
        "dry_run": dry_run,
        "forgotten": [_ids(outcome) for outcome in outcomes if not outcome.needed],
        "refused": [{**_ids(outcome), "needed": list(outcome.needed)} for outcome in outcomes if outcome.needed],
    }
    click.echo(json.dumps(told, indent=2))


def _ids(outcome: Outcome) -> dict[str, str]:
    return {"order": outcome.number, "order_id": outcome.order_id, "checkout_id": outcome.checkout_id}


def _word(dry_run: bool) -> str:
    return "would be forgotten" if dry_run else "forgotten"
