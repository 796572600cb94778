"""The wiring of the web process."""

from events.database.engine import Database
from events.database.migrations import check
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app as create_web_app
from flask import Flask

from checkout import problems
from checkout.api import Dependencies, blueprint
from checkout.checkouts import Checkouts
from checkout.config import Config, load
from checkout.inventory_client import InventoryClient, StockCache
from checkout.models import CHAINS
from checkout.stripe_sessions import StripeSessions


def create_app(
    config: Config,
    *,
    database: Database | None = None,
    stripe: StripeSessions | None = None,
    inventory: InventoryClient | None = None,
) -> Flask:
    """Return the application. Clients that are not given are made from the configuration."""
    database = database or Database(config.database_url)
    stripe = stripe or StripeSessions(config.stripe_api_key, config.stripe_api_base)
    inventory = inventory or InventoryClient(config.inventory_url, config.service_token)
    app = create_web_app(
        config,
        title="Clozit checkout",
        checks={"database": lambda: check(database, CHAINS)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database), OutboxBacklog(database)],
        allowed_origins=sorted(config.origins),
    )
    problems.register(app)
    checkouts = Checkouts(config, database, stripe, inventory)
    app.extensions["clozit"] = Dependencies(config, database, checkouts, StockCache(inventory.available))
    return app


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
