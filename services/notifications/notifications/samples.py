"""Made-up events, one or more for each kind of mail: for looking at the mails, and for their tests."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifications.kinds import (
    ABANDONED_CART,
    KINDS,
    ORDER_CONFIRMED,
    ORDER_SHIPPED,
    REFUND_SUCCEEDED,
    STAFF_DIGEST,
    STAFF_DISPUTE_CLOSED,
    STAFF_DISPUTE_OPENED,
    STAFF_DISPUTE_UPDATED,
    STAFF_REFUND_FAILED,
    STAFF_REVIEW,
    STAFF_REVIEW_SETTLED,
    STAFF_STOCK_LOW,
)
from notifications.rendering import Shop, render
from notifications.sources import Source

SHOP = Shop("Clozit", "https://shop.example", "https://staff.shop.example/orders/{order_id}")

ORDER: Mapping[str, Any] = {
    "order_id": "ord_0199f3a2c4d57e8a9b0c1d2e3f405162",
    "number": "CLZ-10482",
    "checkout_id": "chk_0199f3a2c4d57e8a9b0c1d2e3f405161",
    "session_id": "cs_test_a1B2c3D4e5F6g7H8i9J0",
    "payment_intent": "pi_3QxYzA2eZvKYlo2C1a2b3c4d",
    "currency": "eur",
    "amount_subtotal": 12847,
    "amount_discount": 1285,
    "amount_shipping": 490,
    "amount_total": 12052,
    "customer_email": "ada@example.org",
    "customer_name": "Ada Lovelace",
    "locale": "en",
    "lines": [
        {"sku": "TEE-M", "name": "Organic T-shirt, white, M", "quantity": 2, "unit_amount": 2499, "amount_total": 4998},
        {"sku": "KNIT-L", "name": "Merino jumper, navy, L", "quantity": 1, "unit_amount": 7849, "amount_total": 7849},
    ],
    "occurred_at": "2026-05-04T10:12:00+00:00",
}
ALL = [{"sku": "TEE-M", "quantity": 2}, {"sku": "KNIT-L", "quantity": 1}]
PART, REST = [{"sku": "TEE-M", "quantity": 1}], [{"sku": "TEE-M", "quantity": 1}, {"sku": "KNIT-L", "quantity": 1}]
REFUND: Mapping[str, Any] = {
    "refund_id": "re_3QxYzA2eZvKYlo2C1xYzRfnd",
    "refund_status": "succeeded",
    "refund_amount": 2499,
    "amount_refunded": 4998,
    "amount_paid": 12052,
    "failure_reason": None,
}
DISPUTE: Mapping[str, Any] = {
    "dispute_id": "du_1QxYzA2eZvKYlo2CdIsPuTe1",
    "dispute_status": "needs_response",
    "dispute_amount": 12052,
    "dispute_reason": "product_not_received",
    "evidence_due_by": "2026-05-19T23:59:59+00:00",
    "funds_withdrawn": True,
}
STOCK: Mapping[str, Any] = {
    "sku": "TEE-M",
    "available": 2,
    "threshold": 3,
    "occurred_at": "2026-05-04T10:12:00+00:00",
}
REVIEW: Mapping[str, Any] = {
    "reason": "amount-mismatch",
    "detail": "Paid 100.52 eur; the checkout says 120.52 eur.",
}
SETTLED: Mapping[str, Any] = {"reason": "oversold", "decision": "refund", "resolved_by": "policy"}

EXTRAS: Mapping[str, Mapping[str, Any]] = {
    ABANDONED_CART: {"recovery_url": "https://buy.stripe.com/r/live_YWNjdF8xUXhZekEyZVp2S1lsbzJD"},
    ORDER_SHIPPED: {
        "shipment_id": "shp_0199f3a2c4d57e8a9b0c1d2e3f405163",
        "carrier": "DHL",
        "tracking": "00340434161094042557",
        "tracking_url": "https://track.example.com/00340434161094042557",
        "shipped": PART,
        "is_complete": False,
        "remaining": REST,
    },
    REFUND_SUCCEEDED: REFUND,
    STAFF_REVIEW: REVIEW,
    STAFF_REVIEW_SETTLED: SETTLED,
    STAFF_REFUND_FAILED: {
        **REFUND,
        "refund_status": "failed",
        "amount_refunded": 2499,
        "failure_reason": "expired_or_canceled_card",
    },
    STAFF_DISPUTE_OPENED: DISPUTE,
    STAFF_DISPUTE_UPDATED: {**DISPUTE, "dispute_status": "under_review"},
    STAFF_DISPUTE_CLOSED: {**DISPUTE, "dispute_status": "won", "funds_withdrawn": False},
    STAFF_DIGEST: {
        "items": [
            {"kind": STAFF_STOCK_LOW, "context": STOCK},
            {"kind": STAFF_REVIEW, "context": {**ORDER, **REVIEW}},
            {"kind": STAFF_DISPUTE_OPENED, "context": {**ORDER, **DISPUTE}},
        ]
    },
}

# What a kind's texts depend on; the sample itself is the case "".
CASES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    ORDER_CONFIRMED: {
        "free": {"amount_subtotal": 0, "amount_discount": 0, "amount_shipping": 0, "amount_total": 0},
        "taxed": {"amount_total": 12052 + 2290},
    },
    ABANDONED_CART: {"no-link": {"recovery_url": None}},
    ORDER_SHIPPED: {
        "whole": {"shipped": ALL, "is_complete": True, "remaining": []},
        "last": {"shipped": REST, "is_complete": True, "remaining": []},
        "untold": {"remaining": None, "carrier": None, "tracking": None, "tracking_url": None},
    },
    REFUND_SUCCEEDED: {
        "first": {"amount_refunded": 2499},
        "whole": {"refund_amount": 12052, "amount_refunded": 12052},
        "duplicate": {"refund_amount": 12052, "amount_refunded": 12052, "amount_paid": 24104},
    },
    STAFF_REVIEW_SETTLED: {decision: {"decision": decision} for decision in ("accept", "cancel")},
    STAFF_DISPUTE_OPENED: {
        "inquiry": {"dispute_status": "warning_needs_response", "funds_withdrawn": False},
        "no-deadline": {"evidence_due_by": None},
        "waiting": {"dispute_status": "under_review"},
        "inquiry-waiting": {"dispute_status": "warning_under_review", "funds_withdrawn": False},
        "inquiry-no-deadline": {"dispute_status": "warning_needs_response", "evidence_due_by": None},
    },
    STAFF_DISPUTE_UPDATED: {
        "respond": {"dispute_status": "needs_response"},
        "no-deadline": {"dispute_status": "needs_response", "evidence_due_by": None},
    },
    STAFF_DISPUTE_CLOSED: {
        "lost": {"dispute_status": "lost", "funds_withdrawn": True},
        "warning_closed": {"dispute_status": "warning_closed"},
        "unknown": {"dispute_status": "prevented"},
    },
}


def sample(kind: str, case: str = "", **changes: Any) -> dict[str, Any]:
    """The context of a mail of this kind. Raises `ValueError` for a kind or a case that does not exist."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
    base = STOCK if kind == STAFF_STOCK_LOW else {} if kind == STAFF_DIGEST else ORDER
    if case not in cases(kind):
        raise ValueError(f"{kind} has the cases {', '.join(filter(None, cases(kind))) or 'none'}, not {case!r}")
    return {**base, **EXTRAS.get(kind, {}), **CASES.get(kind, {}).get(case, {}), **changes}


def cases(kind: str) -> list[str]:
    return ["", *CASES.get(kind, {})]


def every() -> Iterator[tuple[str, str]]:
    """Each kind with each of its cases."""
    return ((kind, case) for kind in KINDS for case in cases(kind))


def check(source: Source) -> None:
    """Write every mail in every language. Raises `ValueError` that names the first one that cannot be written."""
    for language in sorted(source.translations):
        for kind, case in every():
            try:
                render(kind, language, sample(kind, case), SHOP, source)
            except Exception as error:  # a template may raise anything
                where = f"{source.overrides}: {kind} in {language}{f' ({case})' if case else ''}"
                raise ValueError(f"{where} cannot be written: {_said(error)}") from error


def _said(error: Exception) -> str:
    """With the template and its line, where the fault is in its form."""
    place = ":".join(str(found) for name in ("name", "lineno") if (found := getattr(error, name, None)))
    return f"{type(error).__name__}: {error}{f' ({place})' if place else ''}"
