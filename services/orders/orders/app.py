"""The web process's wiring."""

from events.database import Database
from events.ops import inbox_blueprint
from events.web import create_app as create_web_app
from flask import Flask

from orders.api import blueprint
from orders.config import Config, load


def create_app(config: Config, *, database: Database | None = None) -> Flask:
    database = database or Database(config.database_url)
    return create_web_app(
        config,
        title="Clozit orders",
        checks={"database": database.ping},
        blueprints=[blueprint(database), inbox_blueprint(database)],
        allowed_origins=config.allowed_origins,
    )


def create_wsgi() -> Flask:
    return create_app(load())
