"""Samples: invented events for each kind of e-mail, for previews, checks of templates, and tests."""

from collections.abc import Iterator, Mapping
from typing import Any

from notifications.kinds import KINDS, Kind
from notifications.template_context import Shop

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
    "customer_country": None,
    "charged": None,
    "amount_paid": 0,
    "amount_refunded": 0,
    "lines": [
        {"sku": "TEE-M", "name": "Organic T-shirt, white, M", "quantity": 2, "unit_amount": 2499, "amount_total": 4998},
        {"sku": "KNIT-L", "name": "Merino jumper, navy, L", "quantity": 1, "unit_amount": 7849, "amount_total": 7849},
    ],
    "occurred_at": "2026-05-04T10:12:00+00:00",
}
CHARGED: Mapping[str, Any] = {
    "currency": "eur",
    "amount_subtotal": 12847,
    "amount_discount": 1285,
    "amount_shipping": 490,
    "amount_tax": 0,
    "tax_included": False,
    "amount_total": 12052,
    "presentment_currency": None,
    "presentment_amount": None,
}
FREE = {"amount_discount": 12847, "amount_shipping": 0, "amount_total": 0}
WITH_TAX = {**CHARGED, "amount_tax": 2290, "amount_total": 14342}
CHARGES: Mapping[str, Mapping[str, Any]] = {  # what Stripe charges, where it differs from what was agreed
    "taxed": {"charged": WITH_TAX, "amount_paid": 14342},
    "tax-included": {"charged": {**CHARGED, "amount_tax": 1924, "tax_included": True}},
    "promotion": {"charged": {**CHARGED, "amount_discount": 2085, "amount_total": 11252}, "amount_paid": 11252},
    "statement": {"charged": {**CHARGED, "presentment_currency": "jpy", "presentment_amount": 19702}},
}
PENDING_PAYMENT: Mapping[str, Any] = {
    "payment_method_types": ["card", "link", "oxxo"],
    "payment_method": None,
    "voucher_url": None,
    "voucher_expires_at": None,
}
ALL = [{"sku": "TEE-M", "quantity": 2}, {"sku": "KNIT-L", "quantity": 1}]
PART, REST = [{"sku": "TEE-M", "quantity": 1}], [{"sku": "TEE-M", "quantity": 1}, {"sku": "KNIT-L", "quantity": 1}]
REFUND: Mapping[str, Any] = {
    "refund_id": "re_3QxYzA2eZvKYlo2C1xYzRfnd",
    "refund_status": "succeeded",
    "refund_amount": 2499,
    "amount_refunded": 4998,
    "amount_paid": 12052,
    "review_reason": None,
    "failure_reason": None,
    "is_disputed": False,
}
FAILED_REFUND: Mapping[str, Any] = {
    **REFUND,
    "refund_status": "failed",
    "amount_refunded": 2499,
    "failure_reason": "expired_or_canceled_card",
    "is_disputed": False,
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
EXPIRING: Mapping[str, Any] = {
    "checkout_id": "chk_01",
    "expires_at": "2026-11-20T10:00:00+00:00",
    "lines": [{"sku": "TEE-ORG-WHT-M", "quantity": 2}],
    "occurred_at": "2026-11-18T10:00:00+00:00",
}
REVIEW: Mapping[str, Any] = {
    "reason": "amount-mismatch",
    "subject": None,
    "detail": "Paid 100.52 eur; the checkout says 120.52 eur.",
}
RESOLVED: Mapping[str, Any] = {
    "reason": "oversold",
    "subject": None,
    "decision": "refund",
    "resolved_by": "policy",
    "was_confirmed": False,
    "also_resolved": [],
    "shipped_before": [],
    "unshipped_before": [*PART, *REST],
}

EXTRAS: Mapping[str, Mapping[str, Any]] = {
    Kind.PAYMENT_PENDING: PENDING_PAYMENT,
    Kind.PAYMENT_INSTRUCTIONS: {
        **PENDING_PAYMENT,
        "payment_method": "oxxo",
        "voucher_url": "https://payments.stripe.com/oxxo/voucher/test_YWNjdF8xUXhZekEy",
        "voucher_expires_at": "2026-05-07T23:59:59+00:00",
    },
    Kind.ORDER_IN_REVIEW: {**REVIEW, "reason": "oversold", "amount_paid": 12052},
    Kind.ORDER_CANCELED: {**RESOLVED, "decision": "cancel", "resolved_by": "ana", "amount_paid": 12052},
    Kind.ABANDONED_CART: {
        "recovery_url": "https://buy.stripe.com/r/live_YWNjdF8xUXhZekEyZVp2S1lsbzJD",
        "promotions_consent": "opt_in",
        "unsubscribe_url": "https://shop.example/unsubscribe/sample",
    },
    Kind.ORDER_SHIPPED: {
        "shipment_id": "shp_0199f3a2c4d57e8a9b0c1d2e3f405163",
        "carrier": "DHL",
        "tracking": "00340434161094042557",
        "tracking_url": "https://track.example.com/00340434161094042557",
        "shipped": PART,
        "is_complete": False,
        "remaining": REST,
        "shipped_before": [],
    },
    Kind.REFUND_SUCCEEDED: REFUND,
    Kind.REFUND_FAILED: FAILED_REFUND,
    Kind.STAFF_REVIEW_OPENED: REVIEW,
    Kind.STAFF_REVIEW_RESOLVED: RESOLVED,
    Kind.STAFF_REFUND_FAILED: FAILED_REFUND,
    Kind.STAFF_DISPUTE_OPENED: DISPUTE,
    Kind.STAFF_DISPUTE_UPDATED: {**DISPUTE, "dispute_status": "under_review"},
    Kind.STAFF_DISPUTE_CLOSED: {**DISPUTE, "dispute_status": "won", "funds_withdrawn": False},
    Kind.STAFF_DIGEST: {
        "items": [
            {"kind": Kind.STAFF_STOCK_LOW, "event_data": STOCK},
            {"kind": Kind.STAFF_REVIEW_OPENED, "event_data": {**ORDER, **REVIEW}},
            {"kind": Kind.STAFF_DISPUTE_OPENED, "event_data": {**ORDER, **DISPUTE}},
        ]
    },
}

# More cases of a kind, where its texts depend on the event. The sample itself is the case "".
CASES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    Kind.ORDER_CONFIRMED: {
        "free": FREE,
        "duplicate": {
            "reason": "duplicate-payment",
            "decision": "accept",
            "resolved_by": "ana",
            "was_confirmed": True,
            "amount_paid": 24104,
        },
        **CHARGES,
    },
    Kind.PAYMENT_PENDING: {"debit": {"payment_method_types": ["card", "sepa_debit"]}, "taxed": CHARGES["taxed"]},
    Kind.PAYMENT_INSTRUCTIONS: {
        "bank-transfer": {"payment_method": "bank_transfer", "voucher_expires_at": None},
        "taxed": CHARGES["taxed"],
    },
    Kind.PAYMENT_FAILED: {"taxed": CHARGES["taxed"]},
    Kind.ORDER_IN_REVIEW: {"duplicate": {"reason": "duplicate-payment", "amount_paid": 24104}},
    Kind.ORDER_CANCELED: {
        "mismatch": {"reason": "amount-mismatch"},
        "refunded": {"amount_refunded": 12052},
        "free": {**FREE, "reason": "operator", "amount_paid": 0},
        "operator": {"reason": "operator"},
        "shipped": {"shipped_before": PART},
    },
    Kind.ABANDONED_CART: {"no-link": {"recovery_url": None}},
    Kind.ORDER_SHIPPED: {
        "whole": {"shipped": ALL, "is_complete": True, "remaining": []},
        "last": {"shipped": REST, "is_complete": True, "remaining": [], "shipped_before": PART},
        "reduced": {"shipped": REST, "is_complete": True, "remaining": []},
        "no-carrier": {"remaining": None, "carrier": None, "tracking": None, "tracking_url": None},
    },
    Kind.REFUND_SUCCEEDED: {
        "first": {"amount_refunded": 2499},
        "whole": {"refund_amount": 12052, "amount_refunded": 12052},
        "statement": {"presentment_currency": "jpy", "presentment_amount": 4085},
        "duplicate": {
            "refund_amount": 12052,
            "amount_refunded": 12052,
            "amount_paid": 24104,
            "review_reason": "duplicate-payment",
        },
        "oversold": {"refund_amount": 12052, "amount_refunded": 12052, "review_reason": "oversold"},
        "mismatch": {"refund_amount": 12052, "amount_refunded": 12052, "review_reason": "amount-mismatch"},
    },
    Kind.STAFF_REVIEW_OPENED: {"held": {"reason": "radar-review"}, "oversold": {"reason": "oversold"}},
    Kind.STAFF_ORDER_PAID: {"free": FREE},
    Kind.STAFF_REVIEW_RESOLVED: {
        **{decision: {"decision": decision} for decision in ("accept", "cancel")},
        "duplicate": {"reason": "duplicate-payment"},
    },
    Kind.REFUND_FAILED: {"disputed": {"failure_reason": "charge_for_pending_refund_disputed", "is_disputed": True}},
    Kind.STAFF_REFUND_FAILED: {
        "disputed": {"failure_reason": "charge_for_pending_refund_disputed", "is_disputed": True},
        "refused": {
            "refund_id": "rfr_0199f3a2c4d57e8a9b0c1d2e3f405164",
            "refund_request_id": "rfr_0199f3a2c4d57e8a9b0c1d2e3f405164",
            "failure_reason": "This payment has been charged back.",
        },
    },
    Kind.STAFF_DISPUTE_OPENED: {
        "inquiry": {"dispute_status": "warning_needs_response", "funds_withdrawn": False},
        "no-deadline": {"evidence_due_by": None},
        "unknown": {"dispute_status": "arbitration_needs_response"},
        "waiting": {"dispute_status": "under_review"},
        "inquiry-waiting": {"dispute_status": "warning_under_review", "funds_withdrawn": False},
        "inquiry-no-deadline": {"dispute_status": "warning_needs_response", "evidence_due_by": None},
    },
    Kind.STAFF_DISPUTE_UPDATED: {
        "respond": {"dispute_status": "needs_response"},
        "unknown": {"dispute_status": "arbitration_needs_response"},
        "inquiry-unknown": {"dispute_status": "warning_escalated", "funds_withdrawn": False},
        "no-deadline": {"dispute_status": "needs_response", "evidence_due_by": None},
        "inquiry": {"dispute_status": "warning_needs_response", "funds_withdrawn": False},
        "inquiry-waiting": {"dispute_status": "warning_under_review", "funds_withdrawn": False},
        "inquiry-no-deadline": {"dispute_status": "warning_needs_response", "evidence_due_by": None},
    },
    Kind.STAFF_DISPUTE_CLOSED: {
        "lost": {"dispute_status": "lost", "funds_withdrawn": True},
        "partly": {"dispute_status": "lost", "funds_withdrawn": True, "amount_held": 8052},
        "canceled": {"is_refund_due": True, "amount_paid": 12052, "amount_held": 0},
        "warning_closed": {"dispute_status": "warning_closed"},
        "prevented": {"dispute_status": "prevented"},
        "unknown": {"dispute_status": "some_new_status"},
    },
}


# The event data of the kinds that are not about an order.
BASES: Mapping[str, Mapping[str, Any]] = {
    Kind.STAFF_STOCK_LOW: STOCK,
    Kind.STAFF_RESERVATION_EXPIRING: EXPIRING,
    Kind.STAFF_DIGEST: {},
}


def sample(kind: str, case: str = "", **changes: Any) -> dict[str, Any]:
    """Return sample event data for an e-mail of `kind`, with the fields in `changes` replaced.

    Raises `ValueError` for an unknown kind or case.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not one of {', '.join(KINDS)}")
    base = BASES.get(kind, ORDER)
    if case not in cases(kind):
        raise ValueError(f"{kind} has no case {case!r}. Its cases: {', '.join(filter(None, cases(kind))) or 'none'}.")
    return {**base, **EXTRAS.get(kind, {}), **CASES.get(kind, {}).get(case, {}), **changes}


def cases(kind: str) -> list[str]:
    """Return the names of a kind's cases. The first one is "", the sample without changes."""
    return ["", *CASES.get(kind, {})]


def all_cases() -> Iterator[tuple[str, str]]:
    """Yield each kind with each of its cases."""
    return ((kind, case) for kind in KINDS for case in cases(kind))
