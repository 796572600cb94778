"""The commands of this service: those of every service, `reconcile` and `erase-customer`."""

import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import click
import stripe
from click.core import ParameterSource
from events import stripe_api
from events.cli import configuration, service_cli
from events.database.engine import Database
from events.database.migrations import check
from events.observability.logging import configure_logging, get_logger
from events.operations.click_types import Instant, Interval
from events.operations.jobs import Outcome, ScheduledJob, repeat

from orders.chains import CHAINS
from orders.config import Config, load
from orders.erasure_cli import erase_customer
from orders.reconciliation.difference import Difference
from orders.reconciliation.run import Reconciliation
from orders.reconciliation.schedule import JOB, ScheduledReconciliation
from orders.reconciliation.stripe import StripeRecords
from orders.worker import create_worker

log = get_logger(__name__)

main = service_cli("orders", load=load, app="orders.app:create_wsgi", create_worker=create_worker, chains=CHAINS)
main.add_command(erase_customer)


@main.command()
@click.option(
    "--since",
    default="24h",
    show_default=True,
    type=Instant(),
    help="Compare Stripe's objects and paid orders since this time: an age such as 24h or 3d, or an instant.",
)
@click.option(
    "--every",
    type=Interval(),
    help="Repeat the run this often, until SIGTERM, each since the one before, with health and metrics on HEALTH_PORT.",
)
@click.option("--repair", is_flag=True, help="Publish the missing Stripe events to all services.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def reconcile(context: click.Context, since: datetime, every: timedelta | None, repair: bool, as_json: bool) -> None:
    """Compare Stripe's sessions, payments, refunds and disputes with the orders.

    Prints every difference, and exits 1 if one was not repaired. With --repair, the missing events are sent and the
    workers handle them. Run the command again later to check. Refunds and disputes under way are compared even if they
    are older than --since. A delayed payment can take weeks, so sometimes use --since 14d.
    """
    config: Config = configuration(load)
    if every:
        if context.get_parameter_source("since") is ParameterSource.COMMANDLINE or as_json:
            raise click.UsageError("--every takes neither --since nor --json: it keeps how far it has come, and logs.")
        with stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base) as client:
            repeat(config, _job(Database(config.database_url), StripeRecords(client), every, repair=repair))
        return
    configure_logging(config.service, config.log_level)  # to standard error; standard output has the differences
    differences: list[Difference] = []
    with stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base) as client:
        run = Reconciliation(Database(config.database_url), StripeRecords(client), since)
        error = _collect(run, differences, repair=repair)
    (_print_json if as_json else _print)(since, run.compared, differences)
    if error:
        raise click.ClickException(f"{error} Not everything was compared. Run the command again.")
    if not all(difference.repaired_by for difference in differences):
        sys.exit(1)


def _job(database: Database, records: StripeRecords, every: timedelta, *, repair: bool) -> ScheduledJob:
    def run(stop: threading.Event) -> Outcome:
        scheduled = ScheduledReconciliation(database, records, repair=repair)
        try:
            is_complete = scheduled.run(stop)
        except stripe.StripeError as error:
            stripe_api.report_failure(JOB, error)
            return Outcome.FAILED
        log.info("reconciled", sessions=scheduled.compared, open_differences=scheduled.count_open())
        return Outcome.SUCCEEDED if is_complete else Outcome.INCOMPLETE

    state = ScheduledReconciliation(database, records, repair=repair)
    checks = {"database": lambda: check(database, CHAINS)}
    return ScheduledJob(JOB, every, run, checks=checks, last_success=state.last_success)


def _collect(run: Reconciliation, differences: list[Difference], *, repair: bool) -> str | None:
    """Add the differences to `differences`. Return sentences about Stripe's error, if it ended the run early."""
    try:
        for difference in run.differences():
            result = run.repair(difference) if repair else difference
            differences.append(result)
    except stripe.StripeError as error:
        return stripe_api.report_failure("reconcile", error)
    return None


def _print(since: datetime, compared: int, differences: Sequence[Difference]) -> None:
    for difference in differences:
        click.echo(f"{difference.order_number or 'no order'} {difference.checkout_id}: {difference.text}")
        if difference.repaired_by:
            click.echo(f"  repaired: {difference.repaired_by} is the missing event, on its way to all services.")
    repaired = sum(difference.repaired_by is not None for difference in differences)
    click.echo(
        f"Sessions since {since:%Y-%m-%dT%H:%M:%SZ}: {compared}; differences: {len(differences)}, repaired: {repaired}."
    )


def _print_json(since: datetime, compared: int, differences: Sequence[Difference]) -> None:
    rows = [asdict(difference) for difference in differences]
    click.echo(json.dumps({"since": since.isoformat(), "compared": compared, "differences": rows}, indent=2))


if __name__ == "__main__":
    main()
