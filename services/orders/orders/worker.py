"""The worker process, wired."""

from events.database import Database
from events.worker import Worker

from orders.config import Config
from orders.handlers import handlers


def create_worker(config: Config, *, database: Database | None = None) -> Worker:
    """Everything that is not given is made from the configuration."""
    return Worker(config, database or Database(config.database_url), handlers)
