"""The dispute: a chargeback or an inquiry."""

from ..store import Object, new_id

DEADLINE_S = 7 * 24 * 3600  # the shop's time to send evidence
EVIDENCE_FIELDS = (
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


def dispute(created: int, charge: Object, amount: int, reason: str, *, inquiry: bool) -> Object:
    """Return a new dispute of a charge. The dispute waits for the shop's evidence."""
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
        "evidence": {**dict.fromkeys(EVIDENCE_FIELDS), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": created + DEADLINE_S,
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
