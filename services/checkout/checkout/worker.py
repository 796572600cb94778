"""The worker process, wired."""

from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.worker import Worker

from checkout.config import Config
from checkout.handlers import handlers
from checkout.inventory_client import InventoryClient
from checkout.leases import Sweep
from checkout.stripe_sessions import StripeSessions

SWEEP_EVERY = 30  # seconds; abandoned stock is back on sale soon after it may be


def create_worker(
    config: Config,
    *,
    database: Database | None = None,
    stripe: StripeSessions | None = None,
    inventory: InventoryClient | None = None,
) -> Worker:
    """Everything that is not given is made from the configuration."""
    database = database or Database(config.database_url)
    sweep = Sweep(
        database,
        stripe or StripeSessions(config.stripe_api_key, config.stripe_api_base),
        inventory or InventoryClient(config.inventory_url, config.service_token),
    )
    return Worker(config, database, handlers, jobs=[Job("sweep", SWEEP_EVERY, sweep.run)])
