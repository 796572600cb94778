"""Parts that several schemas share: pieces of one sku, and the check that exactly one field was sent."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

MAX_LINES = 500  # lines in a request, more than any cart has
EXACTLY_ONE = "Send exactly one of {}."


def check_exactly_one(data: Mapping[str, Any], *names: str) -> None:
    """Raise `ValidationError` unless exactly one of these fields was sent: an empty request never means "all"."""
    sent = [name for name in names if name in data]
    if len(sent) != 1:
        raise ValidationError(EXACTLY_ONE.format(", ".join(names)), sent[-1] if sent else names[0])


class Pieces(Schema):
    """Pieces of one sku."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))
