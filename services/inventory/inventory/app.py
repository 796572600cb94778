"""The wiring of the web process."""

from events.database.engine import Database
from events.web.service import create_service_app
from flask import Flask

from inventory import problems
from inventory.api import blueprint
from inventory.chains import CHAINS
from inventory.config import Config, load


def create_app(config: Config, *, database: Database | None = None) -> Flask:
    """Return the application. A database that is not given is created from the configuration."""
    database = database or Database(config.database_url)
    return create_service_app(
        config,
        database,
        CHAINS,
        blueprint,
        dependencies=database,
        register_problems=problems.register,
        allowed_origins=config.allowed_origins,
    )


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
