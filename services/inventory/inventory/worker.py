"""The wiring of the worker process."""

from datetime import timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.publisher import Publisher
from events.messaging.worker import Worker

from inventory import reservations
from inventory.chains import CHAINS
from inventory.config import Config
from inventory.handlers import create_handlers
from inventory.low_stock import publish_low_stock

EXPIRY_INTERVAL_S = 15  # expired stock is available again soon after its time
EXPIRING_INTERVAL_S = 60  # the notice is hours long
LOW_STOCK_INTERVAL_S = 5  # a check that finds nothing is one cheap query


def create_worker(config: Config, *, database: Database | None = None, broker: Publisher | None = None) -> Worker:
    """Return the worker. A database that is not given is created from the configuration."""
    stock = database or Database(config.database_url)
    notice = timedelta(hours=config.expiring_notice_hours)
    jobs = [
        Job(
            "publish-expiring",
            EXPIRING_INTERVAL_S,
            lambda: reservations.publish_expiring(stock, notice, utcnow()),
        ),
        Job("expire-reservations", EXPIRY_INTERVAL_S, lambda: _expire_due(worker, stock)),
    ]
    if threshold := config.low_stock_threshold:
        jobs.append(Job("publish-low-stock", LOW_STOCK_INTERVAL_S, lambda: publish_low_stock(stock, threshold)))
    handlers = create_handlers(config.max_reserved_percent)
    worker = Worker(config, stock, handlers, chains=CHAINS, jobs=jobs, broker=broker)
    return worker


def _expire_due(worker: Worker, stock: Database) -> int:
    """Expire the reservations that ended before the time up to which the queue is handled; return their number.

    After an outage or a pause, the payment of a reservation that ended later may still wait in inventory's queue,
    although orders has confirmed it.
    """
    handled_until = worker.consumer.progress.handled_until
    return reservations.expire_due(stock, min(handled_until, utcnow())) if handled_until else 0
