"""The wiring of the web process."""

import atexit

from events.messaging import publisher
from events.messaging.publisher import Publisher
from events.web.app import create_app as create_web_app
from flask import Flask

from webhooks import problems
from webhooks.api import create_blueprint
from webhooks.config import Config, load


def create_app(config: Config, broker: Publisher | None = None) -> Flask:
    """Return the application. A publisher that is not given is connected, and closed at exit."""
    if broker is None:
        broker = publisher.connect(config.broker_url, declare=config.declare_topology)
        atexit.register(broker.close)
    app = create_web_app(
        config,
        title="Clozit webhooks",
        checks={"broker": broker.check},
        blueprints=[create_blueprint(config, broker)],
    )
    problems.register(app)
    return app


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
