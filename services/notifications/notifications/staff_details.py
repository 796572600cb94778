"""The details in an e-mail to staff: labeled values of the event, the operators' route, and the order's page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.amounts import Data
from notifications.kinds import Kind
from notifications.localization import Language
from notifications.refund_amounts import is_disputed, was_refused
from notifications.wording import evidence_deadline

OPERATOR_ROUTES: Mapping[str, str] = {
    Kind.STAFF_REVIEW_OPENED: "POST /orders/{order_id}/review",
    Kind.STAFF_REVIEW_RESOLVED: "GET /orders/{order_id}",
    Kind.STAFF_REFUND_FAILED: "POST /orders/{order_id}/refunds",
    Kind.STAFF_DISPUTE_OPENED: "GET /orders/{order_id}",
    Kind.STAFF_DISPUTE_UPDATED: "GET /orders/{order_id}",
    Kind.STAFF_DISPUTE_CLOSED: "GET /orders/{order_id}",
    Kind.STAFF_ORDER_PAID: "POST /orders/{order_id}/shipments",
    Kind.STAFF_STOCK_LOW: "POST /stock/{sku}/movements",
    Kind.STAFF_RESERVATION_EXPIRING: "GET /orders?checkout_id={checkout_id}",
}
NOTHING_TO_REFUND_ROUTE = "GET /orders/{order_id}"  # while the bank decides about the money
IDS = {  # field of the event → key of its label
    "customer_email": "customer",
    "payment_intent": "payment_intent",
    "order_id": "order_id",
    "checkout_id": "checkout_id",
    "session_id": "session_id",
}


@dataclass(frozen=True)
class StaffDetails:
    """`pairs` of (label, value), the `route` for the next step, and a `link` to the order's page or ""."""

    pairs: list[tuple[str, str]]
    route: str
    link: str


def staff_details(kind: str, data: Data, values: Mapping[str, str], language: Language, link: str) -> StaffDetails:
    """Return the details of an event. `values` are its formatted values (template_context.py)."""
    pairs = [(language.text(kind, label), str(value)) for label, value in _pairs(kind, data, values, language) if value]
    route = NOTHING_TO_REFUND_ROUTE if is_disputed(data) else OPERATOR_ROUTES[kind]
    return StaffDetails(pairs, route.format(**data), link if "order_id" in data else "")


def _pairs(kind: str, data: Data, values: Mapping[str, str], language: Language) -> Iterator[tuple[str, Any]]:
    def translated(prefix: str, word: str) -> str:
        """Return our text for a code such as Stripe's `under_review`. A code without a text is returned as it is."""
        return language.find(kind, f"{prefix}_{word}") or word

    yield "deadline", values.get("due") if evidence_deadline(data) else None
    if "reason" in data:
        yield "reason", translated("reason", data["reason"])
        yield "detail", data.get("detail")
    if "resolved_by" in data:
        yield "resolved_by", translated("resolved_by", data["resolved_by"])
    if "refund_id" in data:
        yield "refund_amount", values["refund"]
        yield "statement", values["refund_statement"]
        yield "refunded_so_far", values["refunded"]
        yield "failure", data.get("failure_reason") and translated("failure", data["failure_reason"])
        yield "refund_request_id" if was_refused(data) else "refund_id", data["refund_id"]
    yield "paid", values.get("paid")
    if "dispute_id" in data:
        yield "disputed_amount", values["disputed"]
        yield "status", translated("status", data["dispute_status"])
        yield "dispute_reason", translated("dispute", data["dispute_reason"])
        yield "funds", language.text(kind, "funds_withdrawn" if data["funds_withdrawn"] else "funds_kept")
        yield "amount_held", values["held"]
        yield "dispute_id", data["dispute_id"]
    if "sku" in data:
        yield "sku", data["sku"]
        yield "available", values["available"]
        yield "threshold", values["threshold"]
    if kind == Kind.STAFF_RESERVATION_EXPIRING:
        yield "held_until", values["until"]
        yield "pieces_held", ", ".join(f"{line['quantity']} × {line['sku']}" for line in data["lines"])  # noqa: RUF001
    yield "order", data.get("number")
    yield "date", language.moment(datetime.fromisoformat(data["occurred_at"]))
    for name, label in IDS.items():
        yield label, data.get(name)
