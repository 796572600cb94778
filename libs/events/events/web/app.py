"""The web application that every service starts from: routes, OpenAPI, problems, request ids, CORS, health."""

from collections.abc import Mapping, Sequence

from flask import Flask
from flask_cors import CORS
from flask_smorest import Api
from marshmallow import Schema, fields
from prometheus_client.registry import Collector

from events.config import Common
from events.observability import tracing
from events.observability.logging import configure_logging
from events.web import parameters, problems, requests
from events.web.auth import make_service_check
from events.web.blueprint import Blueprint
from events.web.health import Check, Health, health_blueprint


def create_app(
    config: Common,
    *,
    title: str,
    checks: Mapping[str, Check],
    blueprints: Sequence[Blueprint],
    collectors: Sequence[Collector] = (),
    allowed_origins: Sequence[str] = (),
) -> Flask:
    """Return a service's application.

    Each of `checks` raises while the service cannot work; /readyz shows the result of each. `collectors` add metrics to
    those of the process in /metrics. Websites of `allowed_origins` may call the service from a browser (CORS).
    """
    configure_logging(config.service, config.log_level)
    tracing.configure(config.service)
    app = requests.App(config.service, static_folder=None)
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
    app.extensions["clozit.health"] = health = Health(checks, collectors)
    app.register_blueprint(health_blueprint(health))
    problems.register(app)
    requests.register(app)
    parameters.register(app, api.spec.to_dict())
    tracing.instrument(app, make_service_check(config.service_token))
    if allowed_origins:
        CORS(
            app,
            origins=list(allowed_origins),
            allow_headers=["Content-Type", "Idempotency-Key", "X-Bot-Check", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app


class _ProblemDocument(Schema):
    """An error as RFC 9457 describes it."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "by field: a list of messages, or the errors of its fields"})


class _ProblemApi(Api):
    ERROR_SCHEMA = _ProblemDocument
    DEFAULT_RESPONSE_CONTENT_TYPE: str = "application/json"

    def _register_responses(self) -> None:
        """Register the default responses, which are all errors, as problem documents."""
        usual = self.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE = "application/problem+json"
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = usual

    def _register_error_handlers(self) -> None:
        """Register none of flask-smorest's error handlers: `problems.register` covers all errors."""
