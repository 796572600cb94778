"""The worker process's wiring."""

from events.database import Database
from events.worker import Worker

from orders.config import Config
from orders.handlers import handlers


def create_worker(config: Config, *, database: Database | None = None) -> Worker:
    return Worker(config, database or Database(config.database_url), handlers)
