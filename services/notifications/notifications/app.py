"""The wiring of the web process."""

from events.database.engine import Database
from events.database.migrations import check
from events.observability.backlog_metrics import InboxBacklog
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app as create_web_app
from flask import Flask

from notifications import problems
from notifications.api import blueprint
from notifications.config import Config, load
from notifications.models import CHAINS


def create_app(config: Config, *, database: Database | None = None) -> Flask:
    """Return the application. A database that is not given is created from the configuration."""
    database = database or Database(config.database_url)
    app = create_web_app(
        config,
        title="Clozit notifications",
        checks={"database": lambda: check(database, CHAINS)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database)],
    )
    problems.register(app)
    app.extensions["clozit"] = database
    return app


def create_wsgi() -> Flask:
    """Return the application that granian's processes serve, configured from the environment."""
    return create_app(load())
