"""The worker process, wired."""

from events.database import Database
from events.worker import Job, Worker

from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.sender import Sender

LOOK_EVERY = 1  # second; an idle look is one query of an index, and customers wait for their confirmation


def create_worker(config: Config, *, database: Database | None = None) -> Worker:
    """Without a database given, it is the configuration's."""
    database = database or Database(config.database_url)
    return Worker(
        config,
        database,
        create_handlers(config.abandoned_cart_delay),
        jobs=[Job("sender", LOOK_EVERY, Sender(config, database).run)],
        publishes=False,
    )
