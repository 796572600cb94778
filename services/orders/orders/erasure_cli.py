"""The command `orders erase-customer`."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from events.cli import configuration
from events.database.engine import Database
from events.operations.inbox_cli import actor

from orders import erasure
from orders.config import load
from orders.erasure import ErasureOutcome, ErasureRequest
from orders.models.orders import Order


@click.command(name="erase-customer")
@click.option(
    "--email",
    help="The customer's e-mail address. To keep it out of your shell's history, leave the option out: the command asks"
    " for the address.",
)
@click.option(
    "--checkout-id",
    "checkout_ids",
    multiple=True,
    help="The id of a checkout whose customer to erase, instead of --email. Repeat the option for several checkouts."
    " Unlike --email, this also finds erased orders.",
)
@click.option(
    "--even-open",
    is_flag=True,
    help="Also erase the customers of unfinished orders. The shop then has no address to ship to.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be erased or refused, and change nothing.")
@click.option("--reason", help="The reason. It stays on the timeline, so write no personal data.")
@click.option("--by", default=actor, show_default="the system user", help="Your name, for the timeline.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def erase_customer(
    email: str | None,
    checkout_ids: Sequence[str],
    even_open: bool,
    dry_run: bool,
    reason: str | None,
    by: str,
    as_json: bool,
) -> None:
    """Erase a customer's personal data, here and in all services.

    Amounts, lines, dates and ids stay, and the country and state of the address. The command does not erase an
    unfinished order: it prints the reasons and exits 1. You can safely repeat it. docs/security.md lists what it cannot
    reach: Stripe, backups, sent e-mails.
    """
    if email and checkout_ids:
        raise click.UsageError("Give either --email or --checkout-id.")
    database = Database(configuration(load).database_url)
    found = _find_orders(database, email, checkout_ids)
    act = erasure.preview if dry_run else erasure.erase_customer
    outcomes = [act(database, order, ErasureRequest(by, reason, even_open)) for order in found]
    (_print_json if as_json else _print)(outcomes, dry_run)
    if any(outcome.blockers for outcome in outcomes):
        sys.exit(1)


def _find_orders(database: Database, email: str | None, checkout_ids: Sequence[str]) -> Sequence[Order]:
    if not checkout_ids:
        return erasure.find_by_email(database, email or click.prompt("The customer's e-mail address", err=True))
    found = erasure.find_by_checkouts(database, checkout_ids)
    if unknown := set(checkout_ids) - {order.checkout_id for order in found}:
        raise click.ClickException(
            f"Checkout ids without an order: {', '.join(sorted(unknown))}. Nothing was erased. Check the ids."
        )
    return found


def _print(outcomes: Sequence[ErasureOutcome], dry_run: bool) -> None:
    for outcome in outcomes:
        click.echo(f"{outcome.order_number} {outcome.checkout_id}: {'refused' if outcome.blockers else _word(dry_run)}")
        for blocker in outcome.blockers:
            click.echo(f"  {blocker}")
    refused = sum(bool(outcome.blockers) for outcome in outcomes)
    if outcomes:
        click.echo(f"{_word(dry_run)}: {len(outcomes) - refused}, refused: {refused}.")
    else:
        click.echo("No order has this e-mail address. Check the spelling. Perhaps the customer is already erased.")


def _print_json(outcomes: Sequence[ErasureOutcome], dry_run: bool) -> None:
    erased = [outcome for outcome in outcomes if not outcome.blockers]
    refused = [outcome for outcome in outcomes if outcome.blockers]
    summary: dict[str, Any] = {
        "dry_run": dry_run,
        "erased": [_ids(outcome) for outcome in erased],
        "refused": [{**_ids(outcome), "blockers": list(outcome.blockers)} for outcome in refused],
    }
    click.echo(json.dumps(summary, indent=2))


def _ids(outcome: ErasureOutcome) -> dict[str, str]:
    return {
        "order_id": outcome.order_id,
        "order_number": outcome.order_number,
        "checkout_id": outcome.checkout_id,
    }


def _word(dry_run: bool) -> str:
    return "would be erased" if dry_run else "erased"
