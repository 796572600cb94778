"""python -m orders web | worker | migrate | inbox | reconcile | forget"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click
import stripe
from events import stripe_api
from events.cli import configuration, service_cli
from events.database.engine import Database
from events.operations.click_types import Instant

from orders.config import Config, load
from orders.differences import Difference
from orders.forget_cli import forget
from orders.models import CHAINS
from orders.reconcile import Reconciliation
from orders.stripe_client import StripeRecords
from orders.worker import create_worker

main = service_cli("orders", load=load, app="orders.app:create_wsgi", create_worker=create_worker, chains=CHAINS)
main.add_command(forget)


@main.command()
@click.option("--since", default="24h", show_default=True, type=Instant(), help="How far back: 24h, 3d, or an instant.")
@click.option("--repair", "heal", is_flag=True, help="Send the events that are missing.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def reconcile(since: datetime, heal: bool, as_json: bool) -> None:
    """Compare Stripe's sessions, payments and refunds with the orders.

    Names every difference and exits 1 while any remains. What --repair mends is gone on the next run: the workers have
    to handle the events first. Delayed payment methods take up to 14 days: look back further than that now and then.
    """
    config: Config = configuration(load)
    found: list[Difference] = []
    with stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base) as client:
        run = Reconciliation(Database(config.database_url), StripeRecords(client), since)
        problem = _collect(run, found, heal=heal)
    (_tell_as_json if as_json else _tell)(since, run.compared, found)
    if problem:
        raise click.ClickException(f"not everything is compared, Stripe does not answer as it should: {problem}")
    if not all(difference.healed_by for difference in found):
        sys.exit(1)


def _collect(run: Reconciliation, found: list[Difference], *, heal: bool) -> str | None:
    """What kept Stripe from being asked, if anything did; what was found until then stays."""
    try:
        for difference in run.differences():
            told = run.heal(difference) if heal else difference
            found.append(told)
    except stripe.StripeError as error:
        return f"{type(error).__name__}: {error}"
    return None


def _tell(since: datetime, compared: int, found: Sequence[Difference]) -> None:
    for one in found:
        click.echo(f"{one.order or 'no order'} {one.checkout_id}: {one.text}")
        if one.healed_by:
            click.echo(f"  healed: {one.healed_by} is on its way to the services.")
    healed = sum(one.healed_by is not None for one in found)
    click.echo(f"{compared} sessions since {since:%Y-%m-%dT%H:%M:%SZ}; differences: {len(found)}, healed: {healed}.")


def _tell_as_json(since: datetime, compared: int, found: Sequence[Difference]) -> None:
    differences = [asdict(one) for one in found]
    click.echo(json.dumps({"since": since.isoformat(), "compared": compared, "differences": differences}, indent=2))


if __name__ == "__main__":
    main()
