"""Requests under an Idempotency-Key: the same wish again is the one that is there, another wish is refused."""

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from events.web.problems import Problem

from orders.models import RefundIntention, Shipment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def fingerprint(wish: "DataclassInstance") -> str:
    """Two requests under one key are the same if this is."""
    return hashlib.sha256(json.dumps(asdict(wish), sort_keys=True).encode()).hexdigest()


def check_same(found: RefundIntention | Shipment, wish: Any) -> None:
    """Raises `Problem` 409."""
    if found.fingerprint != fingerprint(wish):
        detail = f"This Idempotency-Key was used for something else, {found.id}. Take a new key for a new wish."
        raise Problem(409, "idempotency-key-reused", detail)
