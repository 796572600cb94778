"""The web application of a service with a database and an inbox."""

from collections.abc import Callable, Sequence

from flask import Flask
from flask_smorest import Blueprint
from prometheus_client.registry import Collector

from events.config import Common
from events.database.engine import Database
from events.database.migrations import Chain, check
from events.messaging.chains import OUTBOX
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app


def create_service_app(
    config: Common,
    database: Database,
    chains: Sequence[Chain],
    blueprint: Blueprint,
    *,
    dependencies: object,
    register_problems: Callable[[Flask], None],
    allowed_origins: Sequence[str] = (),
    collectors: Sequence[Collector] = (),
) -> Flask:
    """Return the application with the service's routes, and what every such service has.

    That is: the operators' inbox routes, readiness by the migration chains, and the backlog metrics. `dependencies` are
    for the service's routes (`current_app.extensions["clozit"]`).
    """
    app = create_app(
        config,
        title=f"Clozit {config.service}",
        checks={"database": lambda: check(database, chains)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database), *([OutboxBacklog(database)] if OUTBOX in chains else []), *collectors],
        allowed_origins=allowed_origins,
    )
    register_problems(app)
    app.extensions["clozit"] = dependencies
    return app
