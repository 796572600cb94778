"""The report of a long run, written to the file that FUZZ_REPORT names."""

import os
import platform
from collections import Counter

from demo.system import SERVICES
from tests.fuzz.run import LIMIT_S, Result

EXPLANATION = """\
- Requests go over HTTP to the web processes of all services, on PostgreSQL and RabbitMQ, with their workers running.
- Paths, queries, cursors, headers and bodies come from the OpenAPI documents. A part of each is hostile.
- A 503 counts only as documented if its problem says that Stripe, the broker or inventory is away.
- A request that is answered late is repeated: on a busy machine one answer says little."""


def text(result: Result, seed: str) -> str:
    """Return the report as Markdown."""
    rows = "\n".join(_row(service, result) for service in SERVICES)
    statuses = Counter[int]()
    for (_, status), count in result.answers.items():
        statuses[status] += count
    counts = "\n".join(f"| {status} | {count:,} |" for status, count in sorted(statuses.items()))
    return f"""# Fuzzed requests

`make fuzz` with the seed {seed}. {os.cpu_count()} cores, Python {platform.python_version()}.

{result.requests:,} requests in {result.took_s:.0f} s: {len(result.failures)} undocumented answers of 500 or more, \
{len(result.slow)} answers slower than {LIMIT_S:.0f} s, 0 processes lost.
{result.repeated} answers were slower once and faster when they were repeated.

| service | operations | with success | requests | slowest answer (s) |
| --- | --- | --- | --- | --- |
{rows}

| status | answers |
| --- | --- |
{counts}

{EXPLANATION}
"""


def _row(service: str, result: Result) -> str:
    own = {key: count for key, count in result.answers.items() if key[0].startswith(f"{service} ")}
    reached = {operation for operation, _ in own}
    successful = {operation for operation, status in own if status < 400}
    slowest = result.slowest.get(service, 0)
    return f"| {service} | {len(reached)} | {len(successful)} | {sum(own.values()):,} | {slowest:.2f} |"
