"""The wiring of the web process."""

from events import stripe_api
from events.database.engine import Database
from events.web.service import create_service_app
from flask import Flask

from orders import problems
from orders.api import Dependencies, blueprint
from orders.chains import CHAINS
from orders.config import Config, load
from orders.refunds.gateway import RefundGateway
from orders.refunds.processor import RefundProcessor
from orders.stock_backlog import StockBacklog


def create_app(config: Config, *, database: Database | None = None, gateway: RefundGateway | None = None) -> Flask:
    """Return the application. Dependencies that are not given are created from the configuration."""
    database = database or Database(config.database_url)
    gateway = gateway or RefundGateway(stripe_api.client(config.stripe_api_key, config.stripe_api_base, retries=0))
    return create_service_app(
        config,
        database,
        CHAINS,
        blueprint,
        dependencies=Dependencies(database, RefundProcessor(database, gateway)),
        register_problems=problems.register,
        allowed_origins=config.allowed_origins,
        collectors=[StockBacklog(database)],
    )


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
