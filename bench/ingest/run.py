"""The ingest's tables: one row for each contender, then the figures beside their aims."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import report
from bench.ingest.contenders import GUNICORN, Contender, contenders
from bench.ingest.measure import Figures, measure_maximum, measure_publisher, measure_steady
from bench.options import Options
from bench.servers import servers

STEADY_RATE = 1000.0  # posts per second
HEAD = (
    "contender",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU µs/event",
    "peak memory MB",
    "load generator, % of a core",
)
PUBLISHER_TITLE = "(c) limit: Clozit's publisher, pipelined, without HTTP"


def run(options: Options) -> Mapping[str, Figures]:
    """Measure, print and write the tables; return the figures by name. Raises `MeasurementError`."""
    with servers() as (broker, databases), tempfile.TemporaryDirectory(prefix="clozit-bench-") as folder:
        machine = report.machine(broker.version(), databases.settings())
        all_contenders = contenders(broker, databases, Path(folder))
        found = {one.name: measure_maximum(one, broker, options.seconds, options.repeat) for one in all_contenders}
        found["publishing"] = measure_publisher(broker, int(options.seconds * 5000), options.repeat)
        found["steady"] = measure_steady(all_contenders[0], broker, options.seconds, STEADY_RATE, options.repeat)
    titles = _titles(all_contenders)
    rows = [_row(titles[name], figures) for name, figures in found.items()]
    text = "\n\n".join(
        [
            "# Ingest",
            machine,
            f"Median of {options.repeat} runs of {options.seconds:g} s. Clozit's ingest has 96 connections and the"
            " others 48, with which each reaches its highest rate. The peers run in gunicorn with"
            f" {GUNICORN['workers']} workers of {GUNICORN['threads']} threads. After each run, its accepted posts were"
            " counted in every queue or table.",
            report.table(HEAD, rows),
            _aims(found),
        ]
    )
    report.publish("ingest.md", text, options)
    return found


def _titles(all_contenders: Sequence[Contender]) -> Mapping[str, str]:
    titles = {one.name: one.title for one in all_contenders}
    return {**titles, "publishing": PUBLISHER_TITLE, "steady": f"Clozit's ingest at a steady {STEADY_RATE:g}/s"}


def _row(title: str, figures: Figures) -> list[str]:
    return [
        title,
        f"{figures.rate:.0f}",
        report.milliseconds(figures.p50_s),
        report.milliseconds(figures.p99_s),
        f"{figures.cpu_s * 1e6:.0f}",
        f"{figures.peak_bytes / 1e6:.0f}",
        f"{figures.generator_share * 100:.0f}" if figures.generator_share else "",
    ]


def _aims(found: Mapping[str, Figures]) -> str:
    clozit = found["clozit"].rate
    series = 1 / (1 / found["bare"].rate + 1 / found["publishing"].rate)
    rows = [
        ["times (a)", f"{clozit / found['plain'].rate:.1f}", "4"],
        ["times (a), pinned both", f"{clozit / found['plain pinned'].rate:.1f}", ""],
        ["times (a), pinned neither", f"{found['unpinned'].rate / found['plain'].rate:.1f}", ""],
        ["times (b)", f"{clozit / found['direct'].rate:.1f}", "10"],
        [f"p99 at {STEADY_RATE:g}/s, ms", report.milliseconds(found["steady"].p99_s), "below 50"],
        ["share of the two limits in series", f"{clozit / series:.2f}", "0.7"],
    ]
    return report.table(("Clozit's ingest", "measured", "aim"), rows)
