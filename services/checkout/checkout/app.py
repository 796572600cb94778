"""The wiring of the web process."""

from events.database.engine import Database
from events.web.service import create_service_app
from flask import Flask

from checkout import problems
from checkout.api import Dependencies, blueprint
from checkout.chains import CHAINS
from checkout.checkouts import Checkouts
from checkout.config import Config, load
from checkout.inventory_client import InventoryClient, StockCache
from checkout.stripe_sessions import StripeSessions


def create_app(
    config: Config,
    *,
    database: Database | None = None,
    stripe: StripeSessions | None = None,
    inventory: InventoryClient | None = None,
) -> Flask:
    """Return the application. Arguments that are not given are made from `config`."""
    database = database or Database(config.database_url)
    stripe = stripe or StripeSessions(config.stripe_api_key, config.stripe_api_base)
    inventory = inventory or InventoryClient(config.inventory_url, config.service_token)
    checkouts = Checkouts(config, database, stripe, inventory)
    return create_service_app(
        config,
        database,
        CHAINS,
        blueprint,
        dependencies=Dependencies(config, database, checkouts, StockCache(inventory.available)),
        register_problems=problems.register,
        allowed_origins=sorted(config.origins),
    )


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
