"""Errors as RFC 9457 problem details."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from events.observability.logging import get_logger

DETAIL_TEXTS = {  # for API callers; werkzeug's own texts are for people with a browser
    400: "The request is malformed. Correct it and send it again.",
    404: "This route does not exist. /openapi.json lists the routes of this service.",
    405: "This route does not support the method. The Allow header lists the supported ones.",
}

INVALID = "Some fields are invalid. Correct the fields in errors and send the request again."
NUL_ERROR = "Remove the NUL character."  # PostgreSQL cannot store it

log = get_logger(__name__)


class Problem(Exception):  # noqa: N818 - the field's own word
    """An error that the caller can act on: a stable type, a detail that says what to do, and extension members."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.members = dict(headers or {}), members
        super().__init__(detail)

    def response(self) -> Response:
        """Return the problem as a Flask response."""
        body = {
            "type": f"urn:clozit:problem:{self.kind}",
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": getattr(request, "id", None),
            **self.members,
        }
        return Response(json.dumps(body), self.status, self.headers, content_type="application/problem+json")


def invalid_request(**errors: Any) -> Problem:
    """Return the problem 422 for invalid fields, with a list of messages or nested errors for each."""
    return Problem(422, "invalid-request", INVALID, errors=errors)


def register(app: Flask) -> None:
    """Make the app answer every error with a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, from_defect)


def register_errors(app: Flask, problems: Mapping[type[Any], Callable[[Any], Problem]]) -> None:
    """Make the app answer each error class in `problems`, and its subclasses, with the problem from its function."""
    for error_type, make in problems.items():
        app.register_error_handler(error_type, lambda error, make=make: make(error).response())


def _from_http(error: HTTPException) -> Response:
    if error.code == 422 and hasattr(error, "data"):  # webargs: the schema's errors
        return Problem(422, "invalid-request", INVALID, errors=_fields(error.data)).response()
    kind = error.name.lower().replace(" ", "-")
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    detail = DETAIL_TEXTS.get(error.code or 500, error.description or error.name)
    return Problem(error.code or 500, kind, detail, headers=headers).response()


def _fields(data: Mapping[str, Any]) -> Any:
    """Return the errors by field; webargs nests them under the location ({"json": {"items": …}})."""
    messages = data.get("messages", {})
    return next(iter(messages.values())) if len(messages) == 1 else messages


def from_defect(error: Exception) -> Response:
    """Log an error that no caller can act on, and answer 500 without its details."""
    log.error("an unexpected error ended a request", exc_info=error)
    return Problem(
        500,
        "internal-error",
        "An error occurred in this service. Try again, and report the request_id if it happens again.",
    ).response()
