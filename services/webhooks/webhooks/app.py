"""The wiring of the web process."""

import atexit

from events.messaging import publisher
from events.messaging.publisher import Publisher
from events.observability import tracing
from events.web.app import create_app as create_web_app
from flask import Flask

from webhooks import problems
from webhooks.api import create_blueprint
from webhooks.config import Config, load
from webhooks.middleware import ReceiveFirst
from webhooks.receiver import Receiver


def create_app(config: Config, broker: Publisher | None = None) -> Flask:
    """Return the application. Without `broker`, connect a publisher and close it at exit."""
    if broker is None:
        broker = publisher.connect(config.broker_url, declare=config.declare_topology)
        atexit.register(broker.close)
    receiver = Receiver(config, broker)
    app = create_web_app(
        config,
        title="Clozit webhooks",
        checks={"broker": broker.check},
        blueprints=[create_blueprint(receiver)],
    )
    problems.register(app)
    if not tracing.is_on():  # it records a request in Flask
        app.wsgi_app = ReceiveFirst(receiver, app.wsgi_app)  # type: ignore[method-assign]
    return app


def create_wsgi() -> Flask:
    """Return the application that the web server's processes import. Reads the environment."""
    return create_app(load())
