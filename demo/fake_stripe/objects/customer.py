"""The customer, and the transactions of their cash balance."""

from ..store import Object, new_id


def customer(created: int, params: Object) -> Object:
    """Return a new customer without payment methods and balance."""
    unset = dict.fromkeys(("address", "currency", "default_source", "discount", "shipping"))
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        **unset,
        "balance": 0,
        "created": created,
        "delinquent": False,
        "description": params.get("description"),
        "email": params.get("email"),
        "invoice_prefix": new_id("", 8)[1:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "tax_exempt": "none",
        "test_clock": None,
    }


def cash_balance_transaction(created: int, customer_: Object, params: Object) -> Object:
    """Return the transaction for a bank transfer that has arrived."""
    return {
        "id": new_id("ccsbtxn"),
        "object": "customer_cash_balance_transaction",
        "created": created,
        "currency": params["currency"],
        "customer": customer_["id"],
        "customer_account": None,
        "ending_balance": params["amount"],
        "funded": {"bank_transfer": {"reference": params.get("reference"), "type": "bank_transfer"}},
        "livemode": False,
        "net_amount": params["amount"],
        "type": "funded",
    }
