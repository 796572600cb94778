"""The wiring of the worker process."""

from datetime import timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.publisher import Publisher
from events.messaging.worker import Worker

from checkout.chains import CHAINS
from checkout.config import Config
from checkout.handlers import handlers
from checkout.inventory_client import InventoryClient
from checkout.pruning import prune_abandoned
from checkout.stripe_sessions import StripeSessions
from checkout.sweeper import Sweeper

SWEEP_INTERVAL_S = 30  # the stock of an abandoned checkout is soon for sale again
PRUNE_INTERVAL_S = 3600.0  # rows are kept for days, so an hour more does not matter


def create_worker(
    config: Config,
    *,
    database: Database | None = None,
    stripe: StripeSessions | None = None,
    inventory: InventoryClient | None = None,
    broker: Publisher | None = None,
) -> Worker:
    """Return the worker. Arguments that are not given are made from `config`."""
    database = database or Database(config.database_url)
    sweeper = Sweeper(
        database,
        stripe or StripeSessions(config.stripe_api_key, config.stripe_api_base),
        inventory or InventoryClient(config.inventory_url, config.service_token),
        timedelta(days=config.delayed_payment_days),
    )
    jobs = [
        Job("sweep", SWEEP_INTERVAL_S, sweeper.run),
        Job("prune-abandoned", PRUNE_INTERVAL_S, lambda: prune_abandoned(database, utcnow())),
    ]
    return Worker(config, database, handlers, chains=CHAINS, jobs=jobs, broker=broker)
