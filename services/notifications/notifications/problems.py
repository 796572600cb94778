"""Problems: the service's domain errors as problem details."""

from events.web.problems import Problem
from flask import Flask, Response

from notifications.resending import CustomerErasedError, NotificationNotFoundError, NotificationUnsentError


def register(app: Flask) -> None:
    """Make the app answer domain errors with problems."""
    app.register_error_handler(NotificationNotFoundError, _not_found)
    app.register_error_handler(NotificationUnsentError, _unsent)
    app.register_error_handler(CustomerErasedError, _customer_erased)


def _not_found(error: NotificationNotFoundError) -> Response:
    return Problem(404, "notification-not-found", f"There is no notification {error.email_id}.").response()


def _unsent(error: NotificationUnsentError) -> Response:
    detail = f"{error.email_id} is not sent yet. Wait until it is sent or has failed."
    return Problem(409, "notification-unsent", detail, notification_id=error.email_id).response()


def _customer_erased(error: CustomerErasedError) -> Response:  # noqa: ARG001 - Flask's signature
    detail = "The customer's data is erased, so there is no address to send this to."
    return Problem(409, "customer-erased", detail).response()
