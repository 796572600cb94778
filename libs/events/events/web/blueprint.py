"""The blueprint of every service's routes: flask-smorest's, with a strict parser of bodies."""

import json
from collections import Counter
from typing import Any

import flask_smorest
import orjson
from flask import Request
from marshmallow import Schema
from webargs import core
from webargs.flaskparser import FlaskParser, is_json_request

from events.database.storable import find_nul, has_nul, is_deeper
from events.web.problems import NUL_ERROR, Problem, invalid_request

MAX_CONTAINERS = 50_000  # lists and objects in a body: more cost a tenth of a second before the schema refuses them
MAX_MEMBERS = (
    10_000  # of all objects in a body: the schema needs as long for more of them. The largest has some hundreds
)
REPEATED_ERROR = "Send this field once."  # each parser silently takes one of its values, the first or the last
MAX_DEPTH = 32  # no request of these services has more than five; Python's own limit is near 1,000


class _StrictParser(FlaskParser):
    """A parser that refuses NaN, lone surrogates, NUL, repeated fields, and too many or too deeply nested values."""

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 - webargs' signature
        """Return the parsed body; `missing` without a JSON body. Raises `Problem`: 400 for invalid JSON, else 422."""
        body = req.get_data(cache=True)
        if not body or not is_json_request(req):
            return core.missing
        containers = body.count(b"{") + body.count(b"[")
        if containers > MAX_CONTAINERS:  # counted before any work with them
            raise invalid_request(_schema=[f"Send at most {MAX_CONTAINERS} lists and objects."])
        if body.count(b":") > MAX_MEMBERS:  # those in texts are counted, too: no text needs so many
            raise invalid_request(_schema=[f"Send at most {MAX_MEMBERS} fields. Colons in texts count, too."])
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            detail = f"The body is not valid JSON in UTF-8: {error}. Correct it and send it again."
            raise Problem(400, "bad-request", detail) from error
        if containers > MAX_DEPTH and is_deeper(document, MAX_DEPTH):
            raise invalid_request(_schema=[f"Send at most {MAX_DEPTH} levels of lists and objects."])
        if has_nul(body):
            raise _refused(find_nul(document) or [])
        _check_repeated(body)
        return document


def _check_repeated(body: bytes) -> None:
    """Raise `Problem` 422 if an object of a valid JSON text has two members of one name."""

    def check(members: list[tuple[str, Any]]) -> None:
        if len(dict(members)) < len(members):
            counts = Counter(name for name, _ in members)
            raise invalid_request(**{name: [REPEATED_ERROR] for name, count in counts.items() if count > 1})

    json.loads(body, object_pairs_hook=check, parse_int=str, parse_float=str)


def _refused(place: list[str]) -> Problem:
    """Return the 422 problem for a body with a NUL character. Its `errors` name the field that contains it."""
    errors: Any = [NUL_ERROR]
    for name in reversed(place or ["_schema"]):
        errors = {name: errors}
    return invalid_request(**errors)


class Blueprint(flask_smorest.Blueprint):
    """A group of routes that refuse JSON bodies with repeated fields, NUL, or too many or too deeply nested values."""

    ARGUMENTS_PARSER = _StrictParser()
