"""The command `python -m bench.soak [idle] [load]`: an hour of all services; both modes run at the same time."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

import click

from bench.report import machine
from bench.servers import servers
from bench.soak.audit import Audit, count_endings
from bench.soak.customers import START_TIMEOUT_S, Customers
from bench.soak.report import Findings, commit, section, write
from bench.soak.sampling import SAMPLE_INTERVAL_S, Sampler
from bench.soak.system import SoakSystem, soak_system
from bench.soak.warm_up import fill_thread_pools

MODES = ("idle", "load")
PROGRESS_INTERVAL_S = 60.0
POLL_S = 1.0
MIN_RATE_SHARE = 0.9  # of the planned rate; a run with fewer events shows too little


@click.command()
@click.argument("modes", nargs=-1, type=click.Choice(MODES))
@click.option("--minutes", default=60.0, show_default=True, help="Length of the run.")
@click.option("--rate", default=50.0, show_default=True, help="Stripe's events per second, of the run under load.")
@click.option("--interval", default=SAMPLE_INTERVAL_S, show_default=True, help="Seconds between two samples.")
@click.option("--samples", type=click.Path(path_type=Path), help="A file for the samples, if one mode is named.")
@click.option("--write/--no-write", "writes", default=True, show_default=True, help="Write bench/results/soak.md.")
def main(
    modes: Sequence[str], minutes: float, rate: float, interval: float, samples: Path | None, writes: bool
) -> None:
    """Run the named modes, or both. Exit 1 if a report lists a problem, such as a growing process or a lost event."""
    if len(modes) == 1:
        is_flat = run(modes[0], minutes, rate, interval, samples, writes)
    else:  # two processes: the customers and the fake Stripe of one run must not slow the other's samples
        options = [f"--minutes={minutes}", f"--rate={rate}", f"--interval={interval}", *["--no-write"] * (not writes)]
        commands = [[sys.executable, "-m", "bench.soak", mode, *options] for mode in MODES]
        running = [subprocess.Popen(command) for command in commands]  # noqa: S603 - this program
        is_flat = [each.wait() for each in running] == [0, 0]
    sys.exit(not is_flat)


def run(mode: str, minutes: float, rate: float, interval_s: float, log: Path | None, writes: bool) -> bool:
    """Run one mode, print its section, and return True if the section lists no problem."""
    with (
        servers() as (broker, server),
        tempfile.TemporaryDirectory(prefix="clozit-soak-") as folder,
        soak_system(broker, server, Path(folder)) as system,
    ):
        version = commit()
        about = [f"Commit {version}. {machine(system.broker.version(), system.server.settings())}"]
        sampler = Sampler(system, log or Path(folder) / "samples", interval_s)
        customers = Customers(system, rate)
        with closing(customers), closing(sampler):
            print(f"{mode}: all processes are ready", flush=True)
            if mode == "load":
                fill_thread_pools(system.urls.values())
            with sampler.running(), customers.buying() if mode == "load" else nullcontext():
                _wait(minutes * 60, lambda: _check(mode, system, sampler, customers))
            problems = _audit(system, customers)
        about.append(f"{minutes:g} minutes, {_load(system, customers, minutes * 60)}.")
        problems += [f"{count} requests failed: {reason}" for reason, count in customers.refused.items()]
        events_per_s = system.stripe.account.webhooks.answers.total() / (minutes * 60)
        if mode == "load" and events_per_s < MIN_RATE_SHARE * rate:
            problems.append(f"{events_per_s:.1f} events a second instead of {rate:g}: the machine was too busy.")
        problems += [f"{sampler.failed_probes} probes failed"] * bool(sampler.failed_probes)
        findings = Findings(sampler.samples, problems)
    text = section(mode.capitalize(), about, findings)
    print(f"\n{text}\n", flush=True)
    if writes:
        write(mode.capitalize(), text)
    return not findings.problems


def _wait(seconds: float, check: Callable[[], None]) -> None:
    """Wait, and call `check` once a minute."""
    began = reported = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        if now >= reported + PROGRESS_INTERVAL_S:
            reported = now
            check()
        time.sleep(min(POLL_S, seconds))


def _check(mode: str, system: SoakSystem, sampler: Sampler, customers: Customers) -> None:
    """Print the memory of all processes. Raises the sampler's error, and `SystemExit` if a process has ended."""
    if sampler.failure:
        raise sampler.failure
    ended = [name for name, service in system.services.items() if not service.process.is_running()]
    if ended:
        logs = "\n".join(system.services[name].log_tail() for name in ended)
        raise SystemExit(f"{', '.join(ended)} ended: {logs}")
    figures = ", ".join(f"{name} {rss:.1f}" for name, rss in sampler.samples.latest("RSS").items())
    print(f"{mode}: {len(customers.purchases)} purchases, RSS in MiB: {figures}", flush=True)


def _audit(system: SoakSystem, customers: Customers) -> list[str]:
    """Wait for the end of all work and return what is wrong, as sentences."""
    audit = Audit(system, customers.purchases)
    try:
        audit.wait_until_drained()
    except TimeoutError as error:
        return [str(error), *audit.findings()]
    return audit.findings()


def _load(system: SoakSystem, customers: Customers, seconds: float) -> str:
    if not customers.purchases:
        return "without any event"
    answers = system.stripe.account.webhooks.answers
    counts = ", ".join(f"{count} {ending}" for ending, count in count_endings(customers.purchases).items())
    return (
        f"{answers.total()} events posted, {answers.total() / seconds:.1f} a second; {answers[200]} were answered 200."
        f" {len(customers.purchases)} purchases ({counts}), {system.mails()} e-mails."
        f" The latest customer started {customers.latest_start_s:.2f} s after the plan;"
        f" {customers.left} customers left, because the machine was busy for {START_TIMEOUT_S:g} s"
    )


if __name__ == "__main__":
    main()
