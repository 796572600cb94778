"""The report in bench/results/soak.md: one section for the idle run and one for the run under load."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import report
from bench.processes import ROOT
from bench.soak.sampling import PROCESS_MEASURES, UNFINISHED, Samples
from bench.soak.verdict import COUNT_TOLERANCE, METRICS_TOLERANCE, MIN_SAMPLES, RULES, Trend, changed, growing

FILE = report.RESULTS / "soak.md"
CPU = "CPU"
METRICS = "metrics lines"
COUNT_COLUMNS = ("processes", "threads", "descriptors", "sockets")
TREND_COLUMNS = (*COUNT_COLUMNS, METRICS)
SECTIONS = ("Idle", "Load")  # the order in the file
INTRODUCTION = """\
`make soak` runs all services as in production, each with a web process and all but webhooks with a worker, on a private
PostgreSQL and RabbitMQ. Every process is scraped and probed every 10 s. A cell has the median of the first quarter of
the run, then of the last.
"""
VERDICT = {True: "**Flat**, and nothing was lost.", False: "**Not passed:**"}


class Findings:
    """The trends of a run, and the sentences about what is wrong with it."""

    def __init__(self, samples: Samples, problems: Sequence[str]) -> None:
        self.samples = samples
        enough = {key: series for key, series in samples.series.items() if len(series) >= MIN_SAMPLES}
        self.trends = {key: Trend.of(series) for key, series in enough.items()}
        memory = {_name(key): trend for key, trend in self.trends.items() if key[1] == "RSS"}
        counts = {_name(key): trend for key, trend in self.trends.items() if _is_bounded(key)}
        metrics = {_name(key): trend for key, trend in self.trends.items() if key[1] == METRICS}
        found = (*growing(memory), *changed(counts, COUNT_TOLERANCE), *changed(metrics, METRICS_TOLERANCE))
        self.problems = [*found, *problems]

    @property
    def subjects(self) -> Sequence[str]:
        """The processes' names, in the order of `COMMANDS`."""
        return [subject for subject, measure in self.trends if measure == "RSS"]


def _name(key: tuple[str, str]) -> str:
    subject, measure = key
    return f"{subject}: {measure}"


def _is_bounded(key: tuple[str, str]) -> bool:
    """Return True for a count that must not grow. Queues and waiting rows vary; the audit needs them empty."""
    subject, measure = key
    return measure in COUNT_COLUMNS or subject == "PostgreSQL" or measure in ("connections", "channels", "dead letters")


def commit() -> str:
    """Return the checked-out commit, followed by `with changes` if libs, services or bench have uncommitted ones."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    changes = [*git, "status", "--porcelain", "--", "libs", "services", "bench/*.py"]
    changed = subprocess.run(changes, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return name.strip() + (" with changes" if changed.strip() else "")


def section(title: str, about: Sequence[str], findings: Findings) -> str:
    """Return a run's section: its sentences, its verdict and its tables."""
    problems = "\n".join(f"- {problem}" for problem in findings.problems)
    parts = [
        f"## {title}",
        *about,
        VERDICT[not problems],
        problems,
        _process_table(findings),
        _server_table(findings),
    ]
    return "\n\n".join(part for part in parts if part)


def _process_table(findings: Findings) -> str:
    head = ("process", "RSS MiB", "RSS MiB/h", "PSS MiB", *TREND_COLUMNS, "CPU, % of a core")
    rows = []
    for subject in findings.subjects:
        trends = {measure: findings.trends[subject, measure] for measure in PROCESS_MEASURES}
        row = [subject, _change(trends["RSS"], 1), f"{trends['RSS'].slope_per_h:+.1f}", _change(trends["PSS"], 1)]
        row += [_change(trends[column], 0) for column in TREND_COLUMNS]
        rows.append([*row, f"{_cpu_percent(findings.samples, subject):.1f}"])
    return report.table(head, rows)


def _cpu_percent(samples: Samples, subject: str) -> float:
    (began, before), *_, (ended, after) = samples.of(subject, CPU)
    return 100 * (after - before) / (ended - began)


def _server_table(findings: Findings) -> str:
    rows = [
        [_name(key), _change(trend, 0), f"{findings.samples.largest(*key):g}"]
        for key, trend in findings.trends.items()
        if key[1] not in PROCESS_MEASURES
    ]
    unfinished = tuple(f"inbox {status}" for status in UNFINISHED)
    kept = [row for row in rows if row[2] != "0" or not row[0].endswith(unfinished)]
    return report.table(("servers and rows", "first and last quarter", "largest"), kept)


def _change(trend: Trend, digits: int) -> str:
    first, last = f"{trend.first:.{digits}f}", f"{trend.last:.{digits}f}"
    return first if first == last else f"{first} → {last}"


def write(title: str, text: str, file: Path = FILE) -> None:
    """Write a run's section to the file. The other run's section stays."""
    kept = dict(_sections(file.read_text())) if file.exists() else {}
    sections: Mapping[str, str] = {**kept, title: text}
    rules = "\n".join(f"- {rule}" for rule in RULES)
    texts = [sections[name] for name in SECTIONS if name in sections]
    file.write_text("\n\n".join(["# Soak", INTRODUCTION.strip(), rules, *texts]) + "\n")


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^## (.+?)\n.*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        yield found[1], found[0].strip()
