"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from events.telemetry import get_logger

SENTENCES = {  # for callers of an API, in place of werkzeug's for people with a browser
    400: "The request cannot be read: its body is not JSON, or not in UTF-8.",
    404: "There is no such route. /openapi.json lists those of this service.",
    405: "This route does not know that method; the Allow header names those that it does.",
}

log = get_logger(__name__)


class Problem(Exception):  # noqa: N818 - the field's own word
    """An error that the caller can act on: a stable type, a sentence that says what to do, and members of its own."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.members = dict(headers or {}), members
        super().__init__(detail)

    def response(self) -> Response:
        body = {
            "type": f"urn:clozit:problem:{self.kind}",
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": getattr(request, "id", None),
            **self.members,
        }
        return Response(json.dumps(body), self.status, self.headers, content_type="application/problem+json")


def register(app: Flask) -> None:
    """Every error of this app leaves it as a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _from_defect)


def _from_http(error: HTTPException) -> Response:
    if error.code == 422 and hasattr(error, "data"):  # webargs: what the schema found
        return Problem(422, "invalid-request", "Some fields are not right.", errors=_fields(error.data)).response()
    kind = error.name.lower().replace(" ", "-")
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    detail = SENTENCES.get(error.code or 500, error.description or error.name)
    return Problem(error.code or 500, kind, detail, headers=headers).response()


def _fields(data: Mapping[str, Any]) -> Any:
    """webargs names the location first ({"json": {"items": …}}); callers know only their fields."""
    messages = data.get("messages", {})
    return next(iter(messages.values())) if len(messages) == 1 else messages


def _from_defect(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return Problem(
        500, "internal-error", "This is our fault. Nothing was lost; try again, and give us the request_id."
    ).response()
