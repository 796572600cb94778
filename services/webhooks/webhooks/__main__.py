"""The ingest's commands: python -m webhooks web | declare-topology | backfill."""

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
from events.messaging import kombu_connection, publisher
from events.observability.logging import configure_logging
from events.operations.click_types import Instant, Rate
from kombu.exceptions import OperationalError

from webhooks import backfill
from webhooks.backfill import Backfill, Report, StripeEvents
from webhooks.config import Config, load

CONNECT_TIMEOUT_S = 30  # for one of the broker's nodes; orchestrators start a failed command again

main = service_cli("webhooks", load=load, app="webhooks.app:create_wsgi")


@main.command()
def declare_topology() -> None:
    """Declare the exchanges, queues and bindings. Safe to repeat.

    For brokers on which the services' users have no right to declare (DECLARE_TOPOLOGY=false). BROKER_URL needs a user
    with that right.
    """
    try:
        with kombu_connection.connect(configuration(load).broker_url) as connection:
            connection.ensure_connection(timeout=CONNECT_TIMEOUT_S)
            kombu_connection.declare_topology(connection.default_channel)
    except PreconditionFailed as error:
        raise click.ClickException(
            f"A queue or exchange exists with other arguments, which cannot be changed: {error.reply_text}. "
            "Delete it (a queue only when it is empty), and run this command again."
        ) from error
    except (OSError, OperationalError) as error:
        raise click.ClickException(f"The broker cannot be reached: {error}. Run this command again.") from error
    click.echo("declared")


def _parse_types(_ctx: click.Context, _param: click.Parameter, value: str) -> list[str]:
    types = [name.strip() for name in value.split(",") if name.strip()]
    if len(types) > backfill.MAX_LISTED_TYPES:
        raise click.BadParameter(
            f"Stripe lists at most {backfill.MAX_LISTED_TYPES} types at once; these are {len(types)}. Use several runs."
        )
    return types


@main.command(name="backfill")
@click.option("--since", type=Instant(), required=True, help="Age or instant of the oldest event: 90s, 30m, 12h, 3d.")
@click.option("--types", default="", callback=_parse_types, help="Only these event types of Stripe, comma-separated.")
@click.option("--rate", type=Rate(), default=50, show_default=True, help="Events per second, at most.")
@click.option(
    "--starting-after", metavar="EVENT", help="Continue after the event with this id. An incomplete run prints it."
)
@click.option("--dry-run", is_flag=True, help="List and count the events, but publish nothing.")
def run_backfill(since: datetime, types: list[str], rate: float, starting_after: str | None, dry_run: bool) -> None:
    """Publish Stripe's events again. Services ignore the events that they already know.

    Prints a summary as JSON. If the run is incomplete, it exits 1 and prints how to continue.
    Exits 1, too, if it skipped malformed events.
    """
    config = _load_with_stripe_key()
    requested, since = since, backfill.limit_to_retention(since)
    if since > requested:
        days = backfill.STRIPE_RETENTION.days
        click.echo(f"Stripe lists events of the last {days} days only. This run begins at {_iso(since)}.", err=True)
    report = Report(resume_after=starting_after)
    publishing = (
        nullcontext() if dry_run else closing(publisher.connect(config.broker_url, declare=config.declare_topology))
    )
    with (
        publishing as broker,
        stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base) as client,
        backfill.sigterm_as_interrupt(),
    ):
        run = Backfill(broker, report, livemode=config.livemode, rate=rate)
        failure = _process_all(run, report, StripeEvents(client).list_since(since, types, starting_after))
    click.echo(json.dumps({"since": _iso(since), "dry_run": dry_run, "complete": failure is None, **vars(report)}))
    if report.skipped_livemode:
        click.echo(
            f"Skipped events of Stripe's other mode (test or live): {report.skipped_livemode}. Check LIVEMODE.",
            err=True,
        )
    if failure:
        options = {
            "since": _iso(since),
            "types": ",".join(types),
            "rate": f"{rate:g}",
            "starting-after": report.resume_after,
        }
        arguments = " ".join(f"--{name} {value}" for name, value in options.items() if value) + " --dry-run" * dry_run
        click.echo(
            f"The run is incomplete: {failure}\nContinue with: python -m webhooks backfill {arguments}", err=True
        )
    if failure or report.malformed:
        sys.exit(1)


def _load_with_stripe_key() -> Config:
    config: Config = configuration(load)
    if not config.stripe_api_key:
        click.echo("STRIPE_API_KEY is missing. Set it, or STRIPE_API_KEY_FILE: backfill calls Stripe.", err=True)
        sys.exit(2)
    configure_logging(config.service, config.log_level)  # logs go to standard error; standard output has the summary
    return config


def _process_all(run: Backfill, report: Report, documents: Iterator[dict[str, Any]]) -> str | None:
    """Process the events. Return None at their end, or the reason why the run stopped earlier."""
    try:
        for document in documents:
            run.process(document)
            if sys.stderr.isatty() and report.listed % backfill.PAGE_SIZE == 0:
                click.echo(f"{report.listed} listed, {report.published} published", err=True)
    except PublishUnconfirmedError as error:
        return f"the broker did not confirm an event ({error})."
    except stripe.StripeError as error:
        return stripe_api.report_failure("backfill", error)
    except KeyboardInterrupt:
        return "interrupted."
    return None


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main()
