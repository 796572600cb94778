"""What every service's web application has: health, metrics, OpenAPI, problems, request ids, CORS, tokens, paging."""

import base64
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
import structlog
from flask import Blueprint as FlaskBlueprint
from flask import Flask, Response, request
from flask import Request as FlaskRequest
from flask_cors import CORS
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields, validate
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.registry import Collector
from werkzeug.exceptions import RequestEntityTooLarge

from events import metrics, problems, tracing
from events.auth import operator_required, service_required
from events.config import Common
from events.envelope import new_id
from events.problems import Problem
from events.telemetry import configure_logging, get_logger

__all__ = [
    "PageArgs",
    "Problem",
    "create_app",
    "decode_cursor",
    "encode_cursor",
    "operator_required",
    "service_required",
]

MAX_BODY = 1024 * 1024  # bytes; no request of ours comes near
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
USUAL_TYPES = ("application/json", "application/json; charset=utf-8")  # known without being parsed; Stripe's is one
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
QUIET = ("/healthz", "/readyz", "/metrics")

REQUESTS = Histogram(
    "clozit_http_request_seconds",
    "HTTP requests by route and status",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

log = get_logger(__name__)
Check = Callable[[], None]


def create_app(
    config: Common,
    *,
    title: str,
    checks: Mapping[str, Check],
    blueprints: Sequence[Blueprint],
    collectors: Sequence[Collector] = (),
    allowed_origins: Sequence[str] = (),
) -> Flask:
    """A service's application. `checks` raise while the service cannot do its work; /readyz names each.

    `collectors` tell at each scrape of /metrics what the process-wide ones cannot.
    """
    configure_logging(config.service, config.log_level)
    tracing.configure(config.service)
    app = _App(config.service, static_folder=None)
    app.config.update(
        API_TITLE=title,
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["clozit.config"] = config
    api = _ProblemApi(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    app.register_blueprint(_health(checks, collectors))
    problems.register(app)
    app.before_request(_begin)
    app.after_request(_end)
    tracing.instrument(app)
    if allowed_origins:
        CORS(
            app,
            origins=list(allowed_origins),
            allow_headers=["Content-Type", "Idempotency-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app


def create_health_app(checks: Mapping[str, Check], collectors: Sequence[Collector] = ()) -> Flask:
    """What a worker answers: health and metrics, nothing else."""
    app = Flask("health", static_folder=None)
    app.register_blueprint(_health(checks, collectors))
    return app


class _Request(FlaskRequest):
    """A request with its id and the time when it began, in seconds of `time.perf_counter`."""

    def __init__(self, environ: dict[str, Any], populate_request: bool = True, shallow: bool = False) -> None:
        super().__init__(environ, populate_request, shallow)
        self.began = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        self.id: str = given if REQUEST_ID.fullmatch(given) else new_id("req")


class _App(Flask):
    request_class = _Request

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view or hook of ours is a coroutine: Flask need not look at each for each request."""
        return func


class _ProblemDocument(Schema):
    """An error, as RFC 9457 has it."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "what is wrong, by field"})


class _ProblemApi(Api):
    ERROR_SCHEMA = _ProblemDocument
    DEFAULT_RESPONSE_CONTENT_TYPE: str = "application/json"

    def _register_responses(self) -> None:
        """The default responses are errors: only they are problem documents."""
        usual = self.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE = "application/problem+json"
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = usual

    def _register_error_handlers(self) -> None:
        """None of flask-smorest's own: `problems.register` answers for all."""


def _health(checks: Mapping[str, Check], collectors: Sequence[Collector]) -> FlaskBlueprint:
    blueprint = FlaskBlueprint("health", __name__)
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
    except Exception as error:  # noqa: BLE001 - whatever is wrong, this route's job is to say it
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return "ok"


def _begin() -> None:
    current = _current()
    structlog.contextvars.bind_contextvars(request_id=current.id)
    length = current.content_length
    if length is None:
        current.max_content_length = MAX_BODY  # counted while it is read, which one that bears its length need not be
    elif length > MAX_BODY:
        raise RequestEntityTooLarge
    has_body = length or "HTTP_TRANSFER_ENCODING" in current.environ
    if has_body and current.environ.get("CONTENT_TYPE") not in USUAL_TYPES and not current.is_json:
        # It would be read as no body at all, and its wishes as none.
        raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json.")


def _end(response: Response) -> Response:
    current = _current()
    response.headers["X-Request-ID"] = current.id
    if current.path in QUIET:
        return response
    took = time.perf_counter() - current.began
    route = current.url_rule.rule if current.url_rule else "unknown"
    method, status = current.method, response.status_code
    _requests(method if method in METHODS else "other", route, status).observe(took)  # callers invent what they like
    # What went well is counted above; a line for each would be a quarter of the ingest's work.
    level = logging.DEBUG if status < 400 else logging.INFO
    if logging.getLogger(__name__).isEnabledFor(level):
        log.log(level, "request", method=method, route=route, status=status, ms=round(took * 1000, 1))
    return response


def _current() -> _Request:
    """The request itself: Flask's `request` looks it up anew for each attribute."""
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]


@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    """What `labels` looks up under a lock, and checks, for each request."""
    return REQUESTS.labels(method, route, status)


class PageArgs(Schema):
    """The paging of every list: `cursor` as the page before gave it, `limit` rows at most."""

    cursor = fields.String(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


def encode_cursor(*values: Any) -> str:
    """An opaque cursor over JSON values, such as the last row's sort key."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[Any, ...]:
    """The values of a cursor. Raises `Problem` 422 for one that we did not give."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise Problem(
            422, "invalid-request", "Some fields are not right.", errors={"cursor": ["Not a cursor of ours."]}
        )
    return tuple(values)
