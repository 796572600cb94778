"""The ingest's wiring."""

import atexit

from events.messaging import publisher
from events.messaging.publisher import Publisher
from events.web.app import create_app as create_web_app
from flask import Flask

from webhooks.api import blueprint
from webhooks.config import Config, load


def create_app(config: Config, publishing: Publisher | None = None) -> Flask:
    """The application; without a publisher given, it connects one of its own and closes it at exit."""
    if publishing is None:
        publishing = publisher.connect(config.broker_url, declare=config.declare_topology)
        atexit.register(publishing.close)
    return create_web_app(
        config,
        title="Clozit webhooks",
        checks={"broker": publishing.check},
        blueprints=[blueprint(config, publishing)],
    )


def create_wsgi() -> Flask:
    return create_app(load())
