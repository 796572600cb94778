"""The mapping of domain errors to problem details."""

from collections.abc import Callable, Mapping
from typing import Any

from events.web.idempotency import key_reused
from events.web.problems import Problem, invalid_request, register_errors
from flask import Flask

from notifications.errors import (
    CustomerErasedError,
    KeyReusedError,
    NotificationNotFoundError,
    NotificationUnsentError,
    StaffRecipientError,
)


def register(app: Flask) -> None:
    """Make the app answer each domain error with its problem."""
    register_errors(app, PROBLEMS)


PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    NotificationNotFoundError: lambda error: Problem(
        404,
        "notification-not-found",
        f"There is no notification {error.email_id}. Check the id.",
    ),
    NotificationUnsentError: lambda error: Problem(
        409,
        "notification-unsent",
        f"{error.email_id}, this e-mail or a resend of it, is not sent yet."
        " Wait until its status is neither `pending` nor `sending`.",
        notification_id=error.email_id,
    ),
    CustomerErasedError: lambda _: Problem(
        409,
        "customer-erased",
        "The customer's data is erased, so no e-mail to them can be sent again.",
    ),
    StaffRecipientError: lambda _: invalid_request(
        recipient=["E-mails to staff go to STAFF_EMAIL. Leave the recipient out."]
    ),
    KeyReusedError: lambda _: key_reused(),
}
