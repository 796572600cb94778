"""python -m webhooks web | declare | backfill"""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from datetime import datetime
from typing import Any

import click
import stripe
from amqp import PreconditionFailed
from events import stripe_api
from events.cli import configuration, service_cli
from events.errors import PublishUnconfirmedError
from events.messaging import publisher
from events.messaging.kombu_connection import connect, declare_topology
from events.observability.logging import configure_logging
from events.operations.click_types import Instant

from webhooks import backfill as recovery
from webhooks.backfill import MAX_TYPES, Backfill, Report, StripeEvents, interruptible, within_reach
from webhooks.config import Config, load

main = service_cli("webhooks", load=load, app="webhooks.app:create_wsgi")


def _types(_ctx: click.Context, _param: click.Parameter, value: str) -> list[str]:
    types = [name.strip() for name in value.split(",") if name.strip()]
    if len(types) > MAX_TYPES:
        raise click.BadParameter(f"Stripe lists by {MAX_TYPES} types at most; these are {len(types)}. Run it twice.")
    return types


@main.command(name="declare-topology")
def declare() -> None:
    """Declare the bus: exchanges, queues and bindings; safe to repeat.

    For a broker on which the services' own users may not (DECLARE_TOPOLOGY=false); BROKER_URL bears one that may.
    """
    try:
        with connect(configuration(load).broker_url) as connection:
            declare_topology(connection.default_channel)
    except PreconditionFailed as error:
        raise click.ClickException(
            f"the broker has a queue of other arguments, which cannot change: {error.reply_text}. "
            "When that queue is empty, delete it and declare again."
        ) from error
    click.echo("declared")


@main.command()
@click.option("--since", type=Instant(), required=True, help="How far back: 90s, 30m, 12h, 3d, or an instant.")
@click.option("--types", default="", callback=_types, help="Only these types of Stripe's, separated by commas.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=50, show_default=True, help="Events a second.")
@click.option("--starting-after", metavar="EVENT", help="Go on after this event, as an interrupted run says.")
@click.option("--dry-run", is_flag=True, help="List and count, publish nothing.")
def backfill(since: datetime, types: list[str], rate: float, starting_after: str | None, dry_run: bool) -> None:
    """Publish Stripe's events again; what the services know does nothing.

    Prints a summary as JSON. Exits 1 when something could not be published, and says how to go on.
    """
    config = _configuration()
    wanted, since = since, within_reach(since)
    if since > wanted:
        click.echo(f"Stripe lists events for {recovery.LISTED_FOR.days} days only: back to {_iso(since)}.", err=True)
    report = Report(settled=starting_after)
    publishing = (
        nullcontext() if dry_run else closing(publisher.connect(config.broker_url, declare=config.declare_topology))
    )
    with (
        publishing as broker,
        stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base) as client,
        interruptible(),
    ):
        filling = Backfill(broker, report, livemode=config.livemode, rate=rate)
        problem = _run(filling, report, StripeEvents(client).since(since, types, starting_after))
    click.echo(json.dumps({"since": _iso(since), "dry_run": dry_run, "complete": problem is None, **vars(report)}))
    if report.skipped_livemode:
        click.echo(f"{report.skipped_livemode} events are of Stripe's other mode: is LIVEMODE right?", err=True)
    if problem:
        again = {"since": _iso(since), "types": ",".join(types), "rate": f"{rate:g}", "starting-after": report.settled}
        options = " ".join(f"--{name} {value}" for name, value in again.items() if value) + " --dry-run" * dry_run
        click.echo(f"Not all is done: {problem}\nGo on with: python -m webhooks backfill {options}", err=True)
    if problem or report.malformed:
        sys.exit(1)


def _configuration() -> Config:
    config: Config = configuration(load)
    if not config.stripe_api_key:
        click.echo("STRIPE_API_KEY or STRIPE_API_KEY_FILE is missing: backfill asks Stripe with it.", err=True)
        sys.exit(2)
    configure_logging(config.service, config.log_level)  # to standard error: the summary is alone on standard output
    return config


def _run(filling: Backfill, report: Report, documents: Iterator[dict[str, Any]]) -> str | None:
    """What ended the run before its end, if anything did."""
    try:
        for document in documents:
            filling.settle(document)
            if sys.stderr.isatty() and report.listed % recovery.PAGE == 0:
                click.echo(f"{report.listed} listed, {report.published} published", err=True)
    except PublishUnconfirmedError as doubt:
        return f"the broker did not confirm ({doubt})."
    except stripe.StripeError as error:
        return f"Stripe does not answer as it should ({type(error).__name__}: {error})."
    except KeyboardInterrupt:
        return "interrupted."
    return None


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main()
