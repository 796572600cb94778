"""The wiring of the web process: its database, routes, problems and unsubscribe page."""

from events.database.engine import Database
from events.web.service import create_service_app
from flask import Flask

from notifications import problems, unsubscribe_page
from notifications.api import blueprint
from notifications.chains import CHAINS
from notifications.config import Config, load
from notifications.email_backlog import EmailBacklog
from notifications.template_loader import Templates
from notifications.unsubscribe_page import UnsubscribePage


def create_app(config: Config, *, database: Database | None = None) -> Flask:
    """Return the application. A database that is not given is created from the configuration."""
    database = database or Database(config.database_url)
    app = create_service_app(
        config,
        database,
        CHAINS,
        blueprint,
        dependencies=database,
        register_problems=problems.register,
        collectors=[EmailBacklog(database)],
    )
    app.extensions["clozit.unsubscribe"] = UnsubscribePage(
        database, config.unsubscribe_links, config.shop, Templates.load(config.templates_dir)
    )
    app.register_blueprint(unsubscribe_page.blueprint)
    return app


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
