"""Every request of every service: its id, its limits, its metrics and its log line."""

import logging
import re
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from flask import Flask, Response, current_app, request
from flask import Request as FlaskRequest
from prometheus_client import Histogram
from werkzeug.exceptions import RequestEntityTooLarge

from events.messaging.event import new_id
from events.observability.logging import get_logger
from events.web.health import PATHS as HEALTH_PATHS
from events.web.problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY_BYTES = 1024 * 1024  # bytes; far more than any request that these services read
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
USUAL_CONTENT_TYPES = ("application/json", "application/json; charset=utf-8")  # need no parsing; Stripe's is one
STARTED, ID = "clozit.started", "clozit.request_id"  # in a request's environ; the start is a `time.perf_counter`
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

REQUESTS = Histogram(
    "clozit_http_request_duration_seconds",
    "Duration of HTTP requests by route and status",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

View = TypeVar("View", bound=Callable[..., Any])

log = get_logger(__name__)
_levels = logging.getLogger(__name__)  # looked up once


class Request(FlaskRequest):
    """A request with its start (`time.perf_counter`) and its id: a valid X-Request-ID of the caller, or a new one."""

    def __init__(self, environ: dict[str, Any], populate_request: bool = True, shallow: bool = False) -> None:
        super().__init__(environ, populate_request, shallow)
        if STARTED not in environ:
            begin(environ)
        self.started: float = environ[STARTED]
        self.id: str = environ[ID]


class App(Flask):
    """Flask with `Request`, and without its coroutine check on every view and hook of every request."""

    request_class = Request

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: no view or hook of these services is a coroutine."""
        return func


def register(app: Flask) -> None:
    """Apply limits, ids, metrics and log lines to the app's requests. Health requests get neither metrics nor logs."""
    app.before_request(_check)
    app.after_request(_end)


def _check() -> None:
    current = current_request()
    length = current.content_length
    if length is None:
        # Counted while reading. A request that states its length needs no count.
        current.max_content_length = MAX_BODY_BYTES
    elif length > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    has_body = length or "HTTP_TRANSFER_ENCODING" in current.environ
    is_usual = current.environ.get("CONTENT_TYPE") in USUAL_CONTENT_TYPES or current.is_json
    if has_body and not is_usual and not _accepts_forms(current.endpoint):
        # Flask would read it as no body at all, and the request as one without fields.
        raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json.")


def accepts_forms(view: View) -> View:
    """Mark a view that also takes bodies that are not JSON, such as forms. It must not read such a body as JSON."""
    view.__dict__["accepts_forms"] = True
    return view


def _accepts_forms(endpoint: str | None) -> bool:
    return hasattr(current_app.view_functions.get(endpoint or ""), "accepts_forms")


def _end(response: Response) -> Response:
    current = current_request()
    response.headers["X-Request-ID"] = current.id
    if current.path in HEALTH_PATHS:
        return response
    route = current.url_rule.rule if current.url_rule else "unknown"
    record(current.method, route, response.status_code, time.perf_counter() - current.started)
    return response


def begin(environ: "WSGIEnvironment") -> None:
    """Store a request's start and id in its environ, and the id in its log lines. A middleware may call this first."""
    environ[STARTED] = time.perf_counter()
    given = environ.get("HTTP_X_REQUEST_ID", "")
    environ[ID] = given if VALID_REQUEST_ID.fullmatch(given) else new_id("req")
    structlog.contextvars.bind_contextvars(request_id=environ[ID])


def record(method: str, route: str, status: int, took_s: float) -> None:
    """Record an answered request in the metrics and the log."""
    # Callers can invent methods, and every label value is a new series.
    _requests(method if method in METHODS else "other", route, status).observe(took_s)
    # The histogram counts successes; a log line for each would be a quarter of the ingest's work.
    level = logging.DEBUG if status < 400 else logging.INFO
    if _levels.isEnabledFor(level):
        log.log(level, "request", method=method, route=route, status=status, ms=round(took_s * 1000, 1))


def current_request() -> Request:
    """Return the request itself. For hot paths: Flask's proxy looks the request up for each attribute."""
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]


@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    """Return the labeled histogram; `labels` would check and look it up under a lock for each request."""
    return REQUESTS.labels(method, route, status)
