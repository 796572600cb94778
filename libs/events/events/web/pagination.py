"""Cursor pagination, the same for every list."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import orjson
from marshmallow import Schema, fields, validate

from events.database.storable import NUL
from events.web.fields import to_utc
from events.web.problems import invalid_request

Row = TypeVar("Row")

DEFAULT_LIMIT = 50  # rows: a screenful
MAX_INTEGER = 2**31 - 1  # of PostgreSQL's integer, the type of the ids in cursors
MAX_LIMIT = 200  # rows: one query stays quick and one answer small


class PageArgs(Schema):
    """The query parameters of every list: `cursor` from the previous page, at most `limit` rows."""

    cursor = fields.String(load_default=None)
    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(min=1, max=MAX_LIMIT))


def page(rows: Sequence[Row], limit: int, *sort_key: str) -> dict[str, Any]:
    """Return a list's answer from up to `limit + 1` rows; the extra row says that another page exists.

    `sort_key` names the attributes that the query sorts by, in their order.
    """
    more = len(rows) > limit
    cursor = encode_cursor(*(getattr(rows[limit - 1], name) for name in sort_key)) if more else None
    return {"items": rows[:limit], "next_cursor": cursor}


def encode_cursor(*values: Any) -> str:
    """Return an opaque cursor for JSON values, such as the last row's sort key."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """Return a cursor's values, converted to `types`; None without a cursor.

    Raises `Problem` 422 for a text that is not a cursor with values of these types.
    """
    if cursor is None:
        return None
    try:
        return _decode(cursor, types)
    except (ValueError, TypeError) as error:
        raise invalid_request(cursor=["This is not a cursor of this list. Start again without a cursor."]) from error


def _decode(cursor: str, types: Sequence[type]) -> tuple[Any, ...]:
    values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if not isinstance(values, list):
        raise TypeError(values)
    return tuple(_convert(value, kind) for value, kind in zip(values, types, strict=True))


def _convert(value: Any, kind: type) -> Any:
    if kind is datetime:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError("no time zone")
        return to_utc(instant)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError(value)
    if isinstance(value, str) and NUL in value:
        raise ValueError(value)
    return value
