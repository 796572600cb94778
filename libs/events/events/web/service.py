"""The web application of a service with a database and an inbox."""

from collections.abc import Callable, Sequence

from flask import Flask, Response
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from events.config import Common
from events.database.engine import Database
from events.database.errors import is_unavailable
from events.database.migrations import Chain, check
from events.messaging.chains import OUTBOX
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.observability.logging import get_logger
from events.operations.inbox_api import inbox_blueprint
from events.web.app import create_app
from events.web.blueprint import Blueprint
from events.web.problems import Problem, from_defect

RETRY_AFTER = {"Retry-After": "5"}  # seconds: a restart or a failover of PostgreSQL takes that long

log = get_logger(__name__)


def create_service_app(
    config: Common,
    database: Database,
    chains: Sequence[Chain],
    blueprint: Blueprint,
    *,
    dependencies: object,
    register_problems: Callable[[Flask], None],
    allowed_origins: Sequence[str] = (),
    collectors: Sequence[Collector] = (),
) -> Flask:
    """Return the application of a service with a database and an inbox.

    It has the service's routes in `blueprint`, the operators' inbox routes, readiness by the migration chains, and the
    backlog metrics. The service's routes find `dependencies` in `current_app.extensions["clozit"]`.
    """
    app = create_app(
        config,
        title=f"Clozit {config.service}",
        checks={"database": lambda: check(database, chains)},
        blueprints=[blueprint, inbox_blueprint(database)],
        collectors=[InboxBacklog(database), *([OutboxBacklog(database)] if OUTBOX in chains else []), *collectors],
        allowed_origins=allowed_origins,
    )
    app.register_error_handler(DBAPIError, _from_database)
    app.register_error_handler(PoolTimeoutError, _unavailable)
    register_problems(app)
    app.extensions["clozit"] = dependencies
    return app


def _from_database(error: DBAPIError) -> Response:
    return _unavailable(error) if is_unavailable(error) else from_defect(error)


def _unavailable(error: Exception) -> Response:
    log.error("request answered with 503: the database is away or too busy, or a row is locked", error=str(error))
    detail = "The database is unavailable. Repeat the same request, with the same Idempotency-Key, in a few seconds."
    return Problem(503, "database-unavailable", detail, headers=RETRY_AFTER).response()
