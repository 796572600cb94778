"""The ingest's table: contenders in turn, then what the figures say about the aims."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import report
from bench.ingest.contenders import GUNICORN, Contender, contenders
from bench.ingest.measure import Figures, at_most, publishing, steadily
from bench.options import Options
from bench.servers import servers

STEADY_RATE = 1000.0  # posts per second
HEAD = (
    "what",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "CPU µs/event",
    "peak memory MB",
    "generator's core %",
)
LIMIT = "(c) limit: our publisher, pipelined, without HTTP"


def run(options: Options) -> Mapping[str, Figures]:
    """Measure, print and write; the figures by name. Raises `Wrong` when one does not do what it accepted."""
    with servers() as (broker, databases), tempfile.TemporaryDirectory(prefix="clozit-bench-") as folder:
        machine = report.machine(broker.version(), databases.settings())
        everybody = contenders(broker, databases, Path(folder))
        found = {one.name: at_most(one, broker, options.seconds, options.repeat) for one in everybody}
        found["publishing"] = publishing(broker, int(options.seconds * 5000), options.repeat)
        found["steady"] = steadily(everybody[0], broker, options.seconds, STEADY_RATE, options.repeat)
    titles = _titles(everybody)
    rows = [_row(titles[name], figures) for name, figures in found.items()]
    text = "\n\n".join(
        [
            "# Ingest",
            machine,
            f"Median of {options.repeat} runs of {options.seconds:g} s, with 96 connections for ours and 48 for the"
            f" others, as each does the most; peers under gunicorn with {GUNICORN['workers']} workers of"
            f" {GUNICORN['threads']} threads. Each run's accepted posts were counted in every queue, or in every table,"
            " before it was taken down here.",
            report.table(HEAD, rows),
            _verdict(found),
        ]
    )
    report.publish("ingest.md", text, options)
    return found


def _titles(everybody: Sequence[Contender]) -> Mapping[str, str]:
    titles = {one.name: one.title for one in everybody}
    return {**titles, "publishing": LIMIT, "steady": f"Clozit's ingest at a steady {STEADY_RATE:g}/s"}


def _row(title: str, figures: Figures) -> list[str]:
    return [
        title,
        f"{figures.rate:.0f}",
        report.milliseconds(figures.p50),
        report.milliseconds(figures.p99),
        f"{figures.cpu * 1e6:.0f}",
        f"{figures.peak / 1e6:.0f}",
        f"{figures.generator * 100:.0f}" if figures.generator else "",
    ]


def _verdict(found: Mapping[str, Figures]) -> str:
    ours = found["ours"].rate
    series = 1 / (1 / found["bare"].rate + 1 / found["publishing"].rate)
    rows = [
        ["times (a)", f"{ours / found['plain'].rate:.1f}", "4"],
        ["times (a), pinned both", f"{ours / found['plain pinned'].rate:.1f}", ""],
        ["times (a), pinned neither", f"{found['unpinned'].rate / found['plain'].rate:.1f}", ""],
        ["times (b)", f"{ours / found['direct'].rate:.1f}", "10"],
        [f"p99 at {STEADY_RATE:g}/s, ms", report.milliseconds(found["steady"].p99), "below 50"],
        ["share of the two limits in series", f"{ours / series:.2f}", "0.7"],
    ]
    return report.table(("ours", "measured", "aim"), rows)
