"""The problems that the ingest answers. After each of them, Stripe sends the event again later."""

from events.errors import PublishUnconfirmedError
from events.web.problems import Problem
from flask import Flask, Response

from webhooks.errors import RejectedEventError

RETRY_AFTER_S = 5  # Stripe has its own schedule; other senders may follow this one


def register(app: Flask) -> None:
    """Make the app answer rejected and unconfirmed events with problems."""
    app.register_error_handler(RejectedEventError, _rejected)
    app.register_error_handler(PublishUnconfirmedError, _unconfirmed)


def _rejected(error: RejectedEventError) -> Response:
    return Problem(400, error.reason, error.detail).response()


def _unconfirmed(_error: PublishUnconfirmedError) -> Response:
    detail = "The broker did not confirm the event. Send it again."
    return Problem(503, "broker-unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)}).response()
