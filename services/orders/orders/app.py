"""The web process, wired."""

from events import stripe_api
from events.database.engine import Database
from events.database.migrations import check
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app as create_web_app
from flask import Flask

from orders.api import Parts, blueprint
from orders.config import Config, load
from orders.models import CHAINS
from orders.refunding import Refunding
from orders.stripe_refunds import StripeRefunds


def create_app(config: Config, *, database: Database | None = None, stripe: StripeRefunds | None = None) -> Flask:
    """Everything that is not given is made from the configuration."""
    database = database or Database(config.database_url)
    stripe = stripe or StripeRefunds(stripe_api.client(config.stripe_api_key, config.stripe_api_base, retries=0))
    app = create_web_app(
        config,
        title="Clozit orders",
        checks={"database": lambda: check(database, CHAINS)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database), OutboxBacklog(database)],
        allowed_origins=config.allowed_origins,
    )
    app.extensions["clozit"] = Parts(database, Refunding(database, stripe))
    return app


def create_wsgi() -> Flask:
    return create_app(load())
