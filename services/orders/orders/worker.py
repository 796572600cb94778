"""The wiring of the worker process."""

from events import stripe_api
from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.publisher import Publisher
from events.messaging.worker import Worker

from orders import radar, unmatched_events
from orders.chains import CHAINS
from orders.config import Config
from orders.handlers import handlers
from orders.refunds.gateway import RefundGateway
from orders.refunds.lookups import RefundLookups
from orders.refunds.processor import RefundProcessor
from orders.reviews import resolve_by_policy

LOOKUP_INTERVAL_S = 30.0  # as long as the grace of a lookup
RESUME_INTERVAL_S = 5.0  # an interrupted refund continues soon after its lease
POLICY_INTERVAL_S = 5.0  # a customer whose order cannot be fulfilled gets the refund at once
PRUNE_INTERVAL_S = 3600.0  # rows are kept for days, so an hour more does not matter


def create_worker(
    config: Config,
    *,
    database: Database | None = None,
    gateway: RefundGateway | None = None,
    broker: Publisher | None = None,
) -> Worker:
    """Return the worker. Dependencies that are not given are created from the configuration."""
    database = database or Database(config.database_url)
    gateway = gateway or RefundGateway(stripe_api.client(config.stripe_api_key, config.stripe_api_base, retries=0))
    jobs = [
        Job("refunds", RESUME_INTERVAL_S, RefundProcessor(database, gateway).resume_due),
        Job("refund-lookups", LOOKUP_INTERVAL_S, RefundLookups(database, gateway).run_due),
        Job("unmatched-events", PRUNE_INTERVAL_S, lambda: unmatched_events.prune(database)),
    ]
    if reasons := config.review_auto_refund:
        jobs.append(Job("policy", POLICY_INTERVAL_S, lambda: resolve_by_policy(database, reasons)))
    radar_keys = () if config.radar_holds else (*radar.ROUTING_KEYS, *radar.WARNING_ROUTING_KEYS)
    return Worker(config, database, handlers.without(*radar_keys), chains=CHAINS, jobs=jobs, broker=broker)
