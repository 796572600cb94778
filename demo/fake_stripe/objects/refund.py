"""The refund, and the action with which it asks the customer for bank details."""

from ..store import Object, new_id

DESTINATIONS = {  # by payment method; money for a voucher goes to the customer's bank account
    "sepa_debit": "sepa_credit_transfer",
    "customer_balance": "customer_cash_balance",
    "boleto": "br_bank_transfer",
    "konbini": "jp_bank_transfer",
    "multibanco": "multibanco",
    "oxxo": "mx_bank_transfer",
}
EXPIRY_S = 6 * 7 * 24 * 3600  # the customer has six weeks to enter bank details


def refund(created: int, charge: Object, amount: int, params: Object, status: str | None) -> Object:
    """Return a refund of a charge, without its balance transaction. `amount` is in minor units."""
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
    name = DESTINATIONS[method]
    return {name: {}, "type": name}


def _to_card() -> Object:
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {"card": card, "type": "card"}


def next_action(created: int, email: str) -> Object:
    """Return the `next_action` of a refund that waits for the customer's bank details."""
    sent = {"email_sent_at": created, "email_sent_to": email}
    return {"display_details": {"email_sent": sent, "expires_at": created + EXPIRY_S}, "type": "display_details"}
