"""`<service> outbox`: publish again, for a service that was restored from a backup."""

from collections.abc import Callable
from datetime import datetime

import click

from events import outbox
from events.database import Database
from events.instants import Instant


def outbox_group(connect: Callable[[], Database]) -> click.Group:
    @click.group(name="outbox", help="What this service promised to publish.")
    def group() -> None: ...

    @group.command()
    @click.option("--since", type=Instant(), required=True, help="How far back: 30m, 24h, 3d, or an instant.")
    @click.option("--dry-run", is_flag=True, help="Say how many, and publish nothing.")
    def republish(since: datetime, dry_run: bool) -> None:
        """Publish again what was published since then: a consumer that was restored from a backup catches up.

        Whoever knows an event already does nothing with it. Published rows are kept for a week.
        """
        with connect().begin() as session:
            count = outbox.published_since(session, since) if dry_run else outbox.republish(session, since)
        click.echo(f"{count} events {'were published' if dry_run else 'will be published again'}")

    return group
