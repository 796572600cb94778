"""The command `webhooks backfill`: a single run since an instant, from the watermark on, or again and again."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
import stripe
from events import stripe_api
from events.cli import configuration
from events.errors import PublishUnconfirmedError
from events.messaging import publisher
from events.messaging.publisher import Publisher
from events.messaging.topology import STRIPE_TYPES
from events.observability.logging import configure_logging, get_logger
from events.operations.click_types import Instant, Interval, Rate
from events.operations.jobs import Outcome, ScheduledJob, repeat, run_until_signal

from webhooks import backfill
from webhooks.backfill import Backfill, Lists, Report, StoppedError, StripeEvents
from webhooks.config import Config, load
from webhooks.watermark import BROKER_ERRORS, Watermark, read_watermark, window_start, write_watermark

SPREAD = 0.8  # of the interval: the rest is for what a run needs beside its events

log = get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """The settings of a run. Without a publisher, nothing is published."""

    config: Config
    broker: Publisher | None
    types: Sequence[str] = STRIPE_TYPES
    rate: float | None = None


def _parse_types(_ctx: click.Context, _param: click.Parameter, value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


@click.command(name="backfill")
@click.option("--since", type=Instant(), help="Age or instant of the oldest event: 90s, 30m, 12h, 3d.")
@click.option(
    "--every", type=Interval(), help="Repeat the run this often, until SIGTERM, with health and metrics on HEALTH_PORT."
)
@click.option(
    "--types", default="", callback=_parse_types, help="With --since: only these event types, comma-separated."
)
@click.option("--rate", type=Rate(), help="Events per second, at most. Without it: as fast as needed.")
@click.option("--dry-run", is_flag=True, help="With --since: list and count the events, but publish nothing.")
def run_backfill(
    since: datetime | None, every: timedelta | None, types: list[str], rate: float | None, dry_run: bool
) -> None:
    """Publish Stripe's events again. Services ignore the events that they already know.

    Lists the types that a service handles. Without --since, a run begins where the last complete part of the runs
    before it ended, and the broker keeps how far it comes. A run with --since does not change that.

    Prints a summary as JSON. If the run is incomplete, it exits 1 and prints how to continue. Exits 1, too, if it
    skipped malformed events.
    """
    if since and every:
        raise click.UsageError("Use --since or --every, not both.")
    if not since and (types or dry_run):
        raise click.UsageError("--types and --dry-run need --since.")
    config = _load_with_stripe_key()
    with ExitStack() as stack:
        broker = None
        if not dry_run:
            connected = publisher.connect(config.broker_url, declare=config.declare_topology)
            broker = stack.enter_context(closing(connected))
        client = stack.enter_context(stripe_api.closing_client(config.stripe_api_key, config.stripe_api_base))
        settings, events = Settings(config, broker, types or STRIPE_TYPES, rate), StripeEvents(client)
        if every:
            repeat(config, _job(settings, events, every))
            return
        if since:
            done = run_until_signal(partial(_run_since, settings, events, _limited(since)))
        else:
            done = run_until_signal(partial(_run_from_watermark, settings, events, None))
    click.echo(json.dumps({**done.summary(), "dry_run": dry_run}))
    if failure := done.failure:
        click.echo(f"The run is incomplete: {failure}\nContinue with: {_continuation(done, settings, since)}", err=True)
    if done.failure or done.report.malformed:
        sys.exit(1)


@dataclass
class Done:
    """The result of a run. `failure` says why it ended early."""

    report: Report
    since: datetime | None = None
    failure: str | None = None
    is_stopped: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the counts and times, for a program or a log."""
        counts = {**vars(self.report), "reached": _iso(self.report.reached) if self.report.reached else None}
        return {"since": _iso(self.since) if self.since else None, "complete": self.failure is None, **counts}


def _job(settings: Settings, events: StripeEvents, every: timedelta) -> ScheduledJob:
    config, broker = settings.config, settings.broker
    assert broker is not None  # noqa: S101 - for the type checker; a dry run is not repeated

    def run(stop: threading.Event) -> Outcome:
        done = _run_from_watermark(settings, events, every * SPREAD, stop)
        fields = {"failure": done.failure} if done.failure else {}
        (log.error if fields and not done.is_stopped else log.info)("backfill ended", **done.summary(), **fields)
        if done.failure and not done.is_stopped:
            return Outcome.FAILED
        return Outcome.INCOMPLETE if done.failure or done.report.malformed else Outcome.SUCCEEDED

    def last_success() -> datetime | None:
        watermark = read_watermark(config.broker_url)
        return watermark.reached if watermark else None

    return ScheduledJob("backfill", every, run, checks={"publisher": broker.check}, last_success=last_success)


def _run_from_watermark(
    settings: Settings, events: StripeEvents, spread: timedelta | None, stop: threading.Event
) -> Done:
    """Publish the events since the watermark, and move it to the end of each complete slice."""
    config, broker, types = settings.config, settings.broker, settings.types
    assert broker is not None  # noqa: S101 - for the type checker; only a run with --since can be a dry run
    done = Done(Report())
    with _failing(done):
        watermark, now = read_watermark(config.broker_url), events.now().replace(microsecond=0)
        start = window_start(watermark, now, types, livemode=config.livemode)
        done.since = backfill.limit_to_retention(start)
        with closing(Lists()) as lists:
            run = _backfill(settings, events, done.report, lists, stop)
            for reached in run.run(done.since, now, spread=spread):
                write_watermark(broker, Watermark(reached, frozenset(types), config.livemode))
    return _warned(done)


def _run_since(settings: Settings, events: StripeEvents, since: datetime, stop: threading.Event) -> Done:
    """Publish the events since an instant. The watermark stays: it would not be true for the time before."""
    done = Done(Report(), since)
    with _failing(done), closing(Lists()) as lists:
        for _ in _backfill(settings, events, done.report, lists, stop).run(since, events.now().replace(microsecond=0)):
            if sys.stderr.isatty():
                click.echo(f"{done.report.listed} listed, {done.report.published} published", err=True)
    return _warned(done)


def _backfill(
    settings: Settings, events: StripeEvents, report: Report, lists: Lists, stop: threading.Event
) -> Backfill:
    return Backfill(
        settings.broker,
        events,
        report,
        lists.submit,
        livemode=settings.config.livemode,
        types=settings.types,
        rate=settings.rate,
        stop=stop,
    )


@contextmanager
def _failing(done: Done) -> Iterator[None]:
    """Record why the block ended early, if it did."""
    try:
        yield
    except PublishUnconfirmedError as error:
        done.failure = f"the broker did not confirm an event ({error})."
    except stripe.StripeError as error:
        done.failure = stripe_api.report_failure("backfill", error)
    except BROKER_ERRORS as error:
        done.failure = (
            f"the watermark cannot be read ({error}). If its queue is missing, run: python -m webhooks declare-topology"
        )
    except StoppedError:
        done.failure, done.is_stopped = "interrupted.", True


def _warned(done: Done) -> Done:
    if skipped := done.report.skipped_livemode:
        log.warning("skipped events of Stripe's other mode (test or live): check LIVEMODE", events=skipped)
    return done


def _limited(since: datetime) -> datetime:
    limited = backfill.limit_to_retention(since)
    if limited > since:
        days = backfill.STRIPE_RETENTION.days
        click.echo(f"Stripe lists events of the last {days} days only. This run begins at {_iso(limited)}.", err=True)
    return limited


def _continuation(done: Done, settings: Settings, since: datetime | None) -> str:
    """Return the command that continues a run."""
    if not since:
        return "python -m webhooks backfill"
    assert done.since is not None  # noqa: S101 - for the type checker; a run with --since has it
    options = {
        "since": _iso(done.report.reached or done.since),
        "types": "" if settings.types is STRIPE_TYPES else ",".join(settings.types),
        "rate": f"{settings.rate:g}" if settings.rate else "",
    }
    arguments = " ".join(f"--{name} {value}" for name, value in options.items() if value)
    return f"python -m webhooks backfill {arguments}" + " --dry-run" * (settings.broker is None)


def _load_with_stripe_key() -> Config:
    config: Config = configuration(load)
    if not config.stripe_api_key:
        click.echo("STRIPE_API_KEY is missing. Set it, or STRIPE_API_KEY_FILE: backfill calls Stripe.", err=True)
        sys.exit(2)
    configure_logging(config.service, config.log_level)  # logs go to standard error; standard output has the summary
    return config


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
