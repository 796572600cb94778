"""The command `<service> outbox republish`, for after a restore from a backup."""

from collections.abc import Callable
from datetime import datetime

import click

from events.database.engine import Database
from events.messaging import outbox
from events.operations.click_types import Instant


def outbox_group(connect: Callable[[], Database]) -> click.Group:
    """Return the group `outbox` with the command `republish`. `connect` returns the service's database."""

    @click.group(name="outbox", help="Publish events of this service again, after a restore from a backup.")
    def group() -> None: ...

    @group.command()
    @click.option("--since", type=Instant(), required=True, help="Start: an age such as 30m, 24h or 3d, or an instant.")
    @click.option("--dry-run", is_flag=True, help="Print the number of events and publish nothing.")
    def republish(since: datetime, dry_run: bool) -> None:
        """Publish again the events that were published since an instant, so that a restored consumer catches up.

        Consumers ignore the events that they already have. Events published over a week ago are deleted.
        """
        database = connect()
        if dry_run:
            with database.read() as session:
                count = outbox.published_since(session, since)
        else:
            count = outbox.republish(database, since)
        click.echo(f"Events that {'would' if dry_run else 'will'} be published again: {count}")

    return group
