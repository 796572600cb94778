"""The worker process, wired."""

from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.worker import Worker

from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.models import CHANNEL
from notifications.sender import Sender

LOOK_EVERY = 5  # seconds; for what has become due with time, since a new mail wakes the sender


def create_worker(config: Config, *, database: Database | None = None) -> Worker:
    """Without a database given, it is the configuration's."""
    database = database or Database(config.database_url)
    sender = Sender(config, database)

    def send() -> None:
        if sender.run():  # it may have left more than a stint's worth
            database.signal(CHANNEL).set()

    return Worker(
        config,
        database,
        create_handlers(config.abandoned_cart_delay, config.staff_digest),
        jobs=[Job("sender", LOOK_EVERY, send, on=CHANNEL)],
        publishes=False,
    )
