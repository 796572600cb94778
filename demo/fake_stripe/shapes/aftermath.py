"""What may follow a payment: refunds and disputes."""

from ..state import Object, new_id

WEEK = 7 * 24 * 3600
EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def refund(created: int, charge: Object, amount: int, params: Object, status: str) -> Object:
    by_card = charge["payment_method_details"]["type"] == "card"
    return {
        "id": new_id("re" if by_card else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "customer": None,
        "customer_account": None,
        "destination_details": _destination(charge["payment_method_details"]["type"]),
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def _destination(method: str) -> Object:
    if method == "card":
        return _to_card()
    name = {"sepa_debit": "sepa_credit_transfer", "customer_balance": "customer_cash_balance"}[method]
    return {name: {}, "type": name}


def _to_card() -> Object:
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {"card": card, "type": "card"}


def instructions(created: int, email: str) -> Object:
    """The `next_action` of a refund that waits until the customer has said where the money goes."""
    sent = {"email_sent_at": created, "email_sent_to": email}
    return {"display_details": {"email_sent": sent, "expires_at": created + 6 * WEEK}, "type": "display_details"}


def dispute(created: int, charge: Object, amount: int, reason: str, *, inquiry: bool) -> Object:
    network_reason = {"fraudulent": "10.4", "product_not_received": "13.1"}.get(reason, "13.3")
    card = {
        "brand": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
        "case_type": "inquiry" if inquiry else "chargeback",
        "network_reason_code": network_reason,
    }
    by_card = charge["payment_method_details"]["type"] == "card"
    return {
        "id": new_id("dp" if by_card else "du"),
        "object": "dispute",
        "amount": amount,
        "balance_transaction": None,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + WEEK,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"card": card, "type": "card"} if by_card else {"type": "sepa_debit"},
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
