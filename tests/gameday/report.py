"""The report of the game day: a table, printed at the end, and written to a file after each fault."""

import os
from dataclasses import dataclass, field

from tests.gameday.scaling import MIN_WAIT_S

HEAD = ("fault", "page", "fires (s)", "sent (s)", "limit (s)", "other pages", "symptoms, not sent", "tickets")


@dataclass(frozen=True)
class Row:
    """One fault, with the times in seconds as measured, and the other alerts by what Alertmanager did with them."""

    fault: str
    page: str
    fired_s: float
    sent_s: float
    limit_s: float
    other_pages: frozenset[str]
    symptoms: frozenset[str]
    tickets: frozenset[str]

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        lists = (", ".join(sorted(names)) or "none" for names in (self.other_pages, self.symptoms, self.tickets))
        return self.fault, self.page, f"{self.fired_s:.0f}", f"{self.sent_s:.0f}", f"{self.limit_s:.0f}", *lists


@dataclass
class Report:
    """The rows that the tests add."""

    factor: float
    versions: str = ""
    rows: list[Row] = field(default_factory=list)

    def text(self) -> str:
        """Return the report as Markdown."""
        lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in self.rows)]
        return f"""\
# Game day

`make gameday`: all services with customers, RabbitMQ, PostgreSQL, Prometheus, Alertmanager and postgres_exporter as
processes. Each fault lasts until its page has arrived as an e-mail. {os.cpu_count()} cores. {self.versions}

**Each time of the rules and of Alertmanager is divided by {self.factor:g}**: windows, waits, ages. The services' times
are not divided. An alert waits at least {MIN_WAIT_S} s, because a scrape takes as long as in production. So a page of
production comes after up to {self.factor:g} times as long.

{chr(10).join("| " + " | ".join(line) + " |" for line in lines)}

- Fires: from the begin of the fault until the alert fires in Prometheus. Sent: until its e-mail has arrived.
- Limit: the rule's own times, divided, and the time of two scrapes and a slow machine. A later page fails the test.
- Other pages: what a person got besides the right page, until all alerts had ended. One of them fails the test.
- Symptoms: pages that fired in Prometheus, and that Alertmanager did not send because their cause fired.
- Tickets: messages without haste that arrived meanwhile.
- The group `jobs` is left out: the game day runs no scheduled jobs. Promtool tests its rules.
"""
