"""Cursor pagination, the same for every list."""

import base64
from typing import Any

import orjson
from marshmallow import Schema, fields, validate

from events.web.problems import INVALID, Problem


class PageArgs(Schema):
    """The query parameters of every list: `cursor` from the previous page, at most `limit` rows."""

    cursor = fields.String(load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


def encode_cursor(*values: Any) -> str:
    """Return an opaque cursor for JSON values, such as the last row's sort key."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[Any, ...]:
    """Return a cursor's values. Raises `Problem` 422 for a cursor that no list returned."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise Problem(
            422, "invalid-request", INVALID, errors={"cursor": ["Not a cursor of this list. Start again without one."]}
        )
    return tuple(values)
