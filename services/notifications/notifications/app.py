"""The web process: its parts and their connections."""

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
    """Return the application. Without a database it connects to the configured one."""
    database = database or Database(config.database_url)
    app = create_web_app(
        config,
        title="Clozit notifications",
        checks={"database": lambda: check(database, CHAINS)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database)],
    )
    app.extensions["clozit"] = database
    problems.register(app)
    return app


def create_wsgi() -> Flask:
    """Return the application that granian's processes serve, configured from the environment."""
    return create_app(load())
