"""Radar's objects: the review of a payment, and the early fraud warning of a card's bank."""

from ..store import Object, new_id


def review(created: int, charge: Object, opened_reason: str) -> Object:
    """Return an open review of a charge."""
    return {
        "id": new_id("prv"),
        "object": "review",
        "billing_zip": None,
        "charge": charge["id"],
        "closed_reason": None,
        "created": created,
        "ip_address": None,
        "ip_address_location": None,
        "livemode": False,
        "open": True,
        "opened_reason": opened_reason,
        "payment_intent": charge["payment_intent"],
        "reason": opened_reason,
        "session": None,
    }


def early_fraud_warning(created: int, charge: Object, fraud_type: str) -> Object:
    """Return a warning about a charge. `actionable` is false if the charge is disputed or fully refunded already."""
    return {
        "id": new_id("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": not (charge["disputed"] or charge["refunded"]),
        "charge": charge["id"],
        "created": created,
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
