"""Builders of payment methods: card, SEPA debit, bank transfer and voucher."""

from ..store import Object, new_id
from .payment import Payer


def card(created: int, number: str, payer: Payer) -> Object:
    """Return a card. It shows only the number's last four digits."""
    brand = "mastercard" if number.startswith("5") else "visa"
    details = {
        "brand": brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": payer.country,
        "display_brand": brand,
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": "FakeStripeCard00",
        "funding": "credit",
        "generated_from": None,
        "last4": number[-4:],
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    return _method(created, "card", details, payer)


def sepa_debit(created: int, iban: str, payer: Payer) -> Object:
    """Return a bank account for SEPA debits. It shows only the IBAN's last four digits."""
    details = {
        "bank_code": iban[4:12],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": "FakeStripeSepa00",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }
    return _method(created, "sepa_debit", details, payer)


def customer_balance(created: int, _number: str, payer: Payer) -> Object:
    """Return the payment method of a bank transfer."""
    return _method(created, "customer_balance", {}, payer)


def voucher(type_: str, created: int, _number: str, payer: Payer) -> Object:
    """Return the payment method of a voucher, such as `oxxo`. `type_` is Stripe's name for it."""
    return _method(created, type_, {}, payer)


def _method(created: int, type_: str, details: Object, payer: Payer) -> Object:
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": payer.billing_details(),
        type_: details,
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": type_,
    }
