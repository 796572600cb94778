"""The wiring of the worker process: the handlers that queue e-mails, and the job that sends them."""

from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.worker import Worker

from notifications.chains import CHAINS
from notifications.config import Config
from notifications.handlers import create_handlers
from notifications.models import CHANNEL
from notifications.sender import Sender
from notifications.smtp import MailServer

SEND_INTERVAL_S = 5  # for e-mails that become due with time; a new e-mail wakes the sender


def create_worker(config: Config, *, database: Database | None = None, server: MailServer | None = None) -> Worker:
    """Return the worker. A database or mail server that is not given is created from the configuration."""
    database = database or Database(config.database_url)
    sender = Sender(config, database, server=server)

    def send() -> None:
        if sender.run():  # more e-mails may be due than one run has time for
            database.signal(CHANNEL).set()

    return Worker(
        config,
        database,
        create_handlers(
            config.abandoned_cart_delay,
            config.staff_digest,
            reminders=config.reminders,
            staff_new_order=config.staff_new_order,
        ),
        chains=CHAINS,
        jobs=[Job("sender", SEND_INTERVAL_S, send, on=CHANNEL)],
        publishes=False,
    )
