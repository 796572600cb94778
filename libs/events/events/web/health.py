"""Health and metrics: /healthz, /readyz and /metrics, of a web process and of a worker."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flask import Blueprint, Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from events.observability import metrics

PATHS = ("/healthz", "/readyz", "/metrics")

Check = Callable[[], None]


def health_blueprint(checks: Mapping[str, Check], collectors: Sequence[Collector]) -> Blueprint:
    """Return the routes of health and metrics. A check raises while the process cannot work.

    `collectors` are queried at each scrape.
    """
    blueprint = Blueprint("health", __name__)
    own = CollectorRegistry()  # the embedded mode has several services in one process
    for collector in collectors:
        own.register(collector)

    @blueprint.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @blueprint.get("/readyz")
    def ready() -> tuple[dict[str, Any], int]:
        states = {name: _state(check) for name, check in checks.items()}
        good = all(state == "ok" for state in states.values())
        return {"status": "ready" if good else "not ready", "checks": states}, 200 if good else 503

    @blueprint.get("/metrics")
    def scrape() -> Response:
        return Response(metrics.latest() + generate_latest(own), content_type=CONTENT_TYPE_LATEST)

    return blueprint


def _state(check: Check) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - this route reports errors of every class
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return "ok"


def create_health_app(checks: Mapping[str, Check], collectors: Sequence[Collector] = ()) -> Flask:
    """Return an application with nothing but health and metrics: a worker's."""
    app = Flask("health", static_folder=None)
    app.register_blueprint(health_blueprint(checks, collectors))
    return app


def serve_health(port: int, checks: Mapping[str, Check], collectors: Sequence[Collector]) -> WSGIServer:
    """Serve a worker's health and metrics from a thread; call `shutdown` on the returned server to end it."""
    app = create_health_app(checks, collectors)
    server = make_server("0.0.0.0", port, app, handler_class=_QuietHandler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's parameter name
        """Log nothing: probes and scrapes come every few seconds, and these lines would not be JSON."""
