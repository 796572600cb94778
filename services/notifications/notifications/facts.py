"""What a mail may speak of, from its event's data: the values of its texts, their variants, and what staff need."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.kinds import (
    ORDER_CONFIRMED,
    ORDER_SHIPPED,
    REFUND_SUCCEEDED,
    STAFF_DISPUTE_CLOSED,
    STAFF_DISPUTE_OPENED,
    STAFF_DISPUTE_UPDATED,
    STAFF_REFUND_FAILED,
    STAFF_REVIEW,
    STAFF_REVIEW_SETTLED,
    STAFF_STOCK_LOW,
)
from notifications.localization import Language

Data = Mapping[str, Any]  # an event's data, as JSON values

AMOUNTS = {
    "total": "amount_total",
    "refund": "refund_amount",
    "refunded": "amount_refunded",
    "disputed": "dispute_amount",
}
PLAIN = ("number", "sku", "available", "threshold", "resolved_by")
RESPOND = ("needs_response", "warning_needs_response")  # Stripe waits for our evidence

ROUTES: Mapping[str, str] = {
    STAFF_REVIEW: "POST /orders/{order_id}/review",
    STAFF_REVIEW_SETTLED: "GET /orders/{order_id}",
    STAFF_REFUND_FAILED: "POST /orders/{order_id}/refunds",
    STAFF_DISPUTE_OPENED: "GET /orders/{order_id}",
    STAFF_DISPUTE_UPDATED: "GET /orders/{order_id}",
    STAFF_DISPUTE_CLOSED: "GET /orders/{order_id}",
    STAFF_STOCK_LOW: "PUT /stock/{sku}",
}


def values(data: Data, speech: Language) -> dict[str, str]:
    """What texts may name in braces, written as the reader writes it."""
    amounts = {name: speech.money(data[key], data["currency"]) for name, key in AMOUNTS.items() if key in data}
    plain = {name: str(data[name]) for name in PLAIN if name in data}
    due = data.get("evidence_due_by")
    return {**amounts, **plain, **({"due": speech.moment(datetime.fromisoformat(due))} if due else {})}


def variants(kind: str, data: Data) -> Sequence[str]:
    """Which of a kind's wordings fit: the text `lead_whole` goes before `lead`."""
    choose = VARIANTS.get(kind)
    return [found for found in choose(data) if found] if choose else []


def _answerable(data: Data) -> str:
    """Whether Stripe waits for our evidence, and until when it does."""
    if data["dispute_status"] not in RESPOND:
        return "waiting"
    return "respond" if data.get("evidence_due_by") else "respond_soon"


def _is_inquiry(data: Data) -> bool:
    """The bank asks, and no money moves yet."""
    inquiry: bool = data["dispute_status"].startswith("warning_")
    return inquiry


def is_whole(data: Data) -> bool:
    """Whether everything that the customer paid is back; a second payment by mistake counts as paid."""
    paid = data.get("amount_paid")
    whole: bool = data["amount_refunded"] >= (data["amount_total"] if paid is None else paid)
    return whole


VARIANTS: Mapping[str, Callable[[Data], Sequence[str]]] = {
    ORDER_CONFIRMED: lambda data: ["" if data["amount_total"] else "free"],
    ORDER_SHIPPED: lambda data: ["part" if not data["is_complete"] else "" if is_single_parcel(data) else "last"],
    REFUND_SUCCEEDED: lambda data: ["whole" if is_whole(data) else ""],
    STAFF_REVIEW_SETTLED: lambda data: [data["decision"]],
    STAFF_DISPUTE_OPENED: lambda data: [_answerable(data), "inquiry" if _is_inquiry(data) else ""],
    STAFF_DISPUTE_UPDATED: lambda data: [_answerable(data)],
    STAFF_DISPUTE_CLOSED: lambda data: [data["dispute_status"]],
}


def is_single_parcel(data: Data) -> bool:
    """Whether everything that was ordered is in this one parcel."""
    shipped, ordered = pieces(data["shipped"]), pieces(data["lines"])
    return bool(data["is_complete"]) and shipped == ordered


def pieces(lines: list[dict[str, Any]]) -> dict[str, int]:
    """Sku → quantity."""
    counted: dict[str, int] = {}
    for line in lines:
        counted[line["sku"]] = counted.get(line["sku"], 0) + line["quantity"]
    return counted


def named(lines: list[dict[str, Any]] | None, data: Data) -> list[tuple[str, int]]:
    """Pieces of an order by the names that the customer knows: (name, quantity)."""
    names = {line["sku"]: line["name"] for line in data["lines"]}
    return [(names.get(sku, sku), quantity) for sku, quantity in pieces(lines or []).items()]


@dataclass(frozen=True)
class Facts:
    """What staff are told of one event: (label, value) pairs, the route to act by, and the order's page."""

    pairs: list[tuple[str, str]]
    route: str
    link: str


def staff_facts(kind: str, data: Data, speech: Language, link: str) -> Facts:
    pairs = [(speech.text(kind, label), str(value)) for label, value in _pairs(kind, data, speech) if value]
    return Facts(pairs, ROUTES[kind].format(**data), link if "order_id" in data else "")


def _pairs(kind: str, data: Data, speech: Language) -> Iterator[tuple[str, Any]]:
    def named_or_raw(prefix: str, word: str) -> str:
        """Stripe's words are many and grow; one that has no text of ours is shown as it is."""
        return speech.find(kind, f"{prefix}_{word}") or word

    spoken = values(data, speech)
    yield "deadline", spoken.get("due") if data.get("dispute_status") in RESPOND else None
    if "reason" in data:
        yield "reason", named_or_raw("reason", data["reason"])
        yield "detail", data.get("detail")
    if "resolved_by" in data:
        yield "resolved_by", data["resolved_by"]
    if "refund_id" in data:
        yield "refund_amount", spoken["refund"]
        yield "refunded_so_far", spoken["refunded"]
        yield "failure", data.get("failure_reason") and named_or_raw("failure", data["failure_reason"])
        yield "refund_id", data["refund_id"]
    if "dispute_id" in data:
        yield "disputed_amount", spoken["disputed"]
        yield "status", named_or_raw("status", data["dispute_status"])
        yield "dispute_reason", named_or_raw("dispute", data["dispute_reason"])
        yield "funds", speech.text(kind, "funds_withdrawn" if data["funds_withdrawn"] else "funds_kept")
        yield "dispute_id", data["dispute_id"]
    if "sku" in data:
        yield "sku", data["sku"]
        yield "available", spoken["available"]
        yield "threshold", spoken["threshold"]
    yield "order", data.get("number")
    yield "date", speech.moment(datetime.fromisoformat(data["occurred_at"]))
    for name, label in (("customer_email", "customer"), ("payment_intent", "payment_intent"), ("order_id", "order_id"),
                        ("checkout_id", "checkout_id"), ("session_id", "session_id")):  # fmt: skip
        yield label, data.get(name)
