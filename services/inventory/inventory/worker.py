"""The worker process, wired."""

from events.clock import utcnow
from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.worker import Worker

from inventory import low_stock
from inventory.config import Config
from inventory.handlers import handlers
from inventory.reservations import expire_due

EXPIRE_EVERY = 15  # seconds; abandoned stock is back on sale soon after it may be

TELL_EVERY = 5  # seconds; a look that finds nothing costs next to nothing


def create_worker(config: Config, *, database: Database | None = None) -> Worker:
    """Everything that is not given is made from the configuration."""
    stock = database or Database(config.database_url)
    expire = Job("expire-reservations", EXPIRE_EVERY, lambda: expire_due(stock, utcnow()))
    jobs = [expire]
    if config.low_stock_threshold:
        tell = Job("tell-low-stock", TELL_EVERY, lambda: low_stock.tell(stock, config.low_stock_threshold))
        jobs.append(tell)
    return Worker(config, stock, handlers, jobs=jobs)
