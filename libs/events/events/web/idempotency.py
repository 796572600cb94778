"""Idempotency keys: a repeated request returns the first result, another request under the same key is refused.

Proxies and people repeat requests. So a request that must not take effect twice, such as a refund, needs a key.
"""

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from marshmallow import EXCLUDE, Schema, fields, validate

from events.web.problems import Problem

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_KEY_CHARACTERS = 255  # characters, as at Stripe


class KeyHeader(Schema):
    """The `Idempotency-Key` header as `key`; None without it."""

    class Meta:
        unknown = EXCLUDE  # a request has many other headers

    key = fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        validate=[
            validate.Length(1, MAX_KEY_CHARACTERS),
            validate.Regexp(r"[!-~]+\Z", error="Use visible ASCII characters without spaces."),
        ],
    )


def fingerprint(request: "DataclassInstance") -> str:
    """Return a hash of a request: equal for a repeat of it, different for any other request."""
    return hashlib.sha256(json.dumps(asdict(request), sort_keys=True).encode()).hexdigest()


def key_reused() -> Problem:
    """Return the problem 409 for a key that was used for a different request."""
    return Problem(
        409, "idempotency-key-reused", "This Idempotency-Key was used for a different request. Use a new key."
    )


def require_key_unless(repeat_is_harmless: bool, key: str | None) -> str | None:
    """Return the key. Without one, return None if a repeat of the request changes nothing, else raise `Problem` 400."""
    return key if repeat_is_harmless else require_key(key)


def require_key(key: str | None) -> str:
    """Return the key. Raises `Problem` 400 without one."""
    if not key:
        raise Problem(
            400,
            "idempotency-key-required",
            "Send an Idempotency-Key header: a new one for each request, the same one when you repeat it.",
        )
    return key
