"""The worker process, wired."""

from events import stripe_api
from events.database.engine import Database
from events.messaging.loops import Job
from events.messaging.worker import Worker

from orders import strays
from orders.config import Config
from orders.handlers import handlers
from orders.refunding import Refunding
from orders.reviews import settle_by_policy
from orders.stripe_refunds import StripeRefunds

RESUME_EVERY = 5.0  # seconds; a refund that was interrupted goes on soon after its lease ends
POLICY_EVERY = 5.0
PRUNE_EVERY = 3600.0


def create_worker(config: Config, *, database: Database | None = None, stripe: StripeRefunds | None = None) -> Worker:
    """Everything that is not given is made from the configuration."""
    database = database or Database(config.database_url)
    stripe = stripe or StripeRefunds(stripe_api.client(config.stripe_api_key, config.stripe_api_base, retries=0))
    jobs = [
        Job("refunds", RESUME_EVERY, Refunding(database, stripe).resume),
        Job("strays", PRUNE_EVERY, lambda: strays.prune(database)),
    ]
    if reasons := config.review_auto_refund:
        jobs.append(Job("policy", POLICY_EVERY, lambda: settle_by_policy(database, reasons)))
    return Worker(config, database, handlers, jobs=jobs)
