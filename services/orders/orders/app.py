"""The wiring of the web process."""

from events import stripe_api
from events.database.engine import Database
from events.database.migrations import check
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app as create_web_app
from flask import Flask

from orders import problems
from orders.api import Dependencies, blueprint
from orders.config import Config, load
from orders.models.chains import CHAINS
from orders.refunds.gateway import RefundGateway
from orders.refunds.processor import RefundProcessor


def create_app(config: Config, *, database: Database | None = None, gateway: RefundGateway | None = None) -> Flask:
    """Return the application. Dependencies that are not given are created from the configuration."""
    database = database or Database(config.database_url)
    gateway = gateway or RefundGateway(stripe_api.client(config.stripe_api_key, config.stripe_api_base, retries=0))
    app = create_web_app(
        config,
        title="Clozit orders",
        checks={"database": lambda: check(database, CHAINS)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database), OutboxBacklog(database)],
        allowed_origins=config.allowed_origins,
    )
    problems.register(app)
    app.extensions["clozit"] = Dependencies(database, RefundProcessor(database, gateway))
    return app


def create_wsgi() -> Flask:
    """Return the application for a WSGI server, configured from the environment."""
    return create_app(load())
