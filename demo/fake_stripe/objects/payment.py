"""The payment intent, and the charge of each attempt to pay it."""

from dataclasses import dataclass

from ..store import Object, new_id

NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


@dataclass(frozen=True)
class Payer:
    """The customer's entries on the payment page."""

    email: str | None
    name: str | None
    country: str = "DE"
    phone: str | None = None
    address: Object | None = None  # the shipping address
    billing_address: Object | None = None  # None if the page asks only for the country

    @classmethod
    def from_billing_details(cls, details: Object) -> "Payer":
        """Return the payer that a payment method's `billing_details` describe."""
        address = details.get("address") or {}
        billing = {**NO_ADDRESS, **address}
        country = billing["country"] or "US"
        phone = details.get("phone")
        return cls(details.get("email"), details.get("name"), country, phone, billing_address=billing)

    def billing_details(self) -> Object:
        """Return the `billing_details` of payment methods and charges."""
        address = self.billing_address or {**NO_ADDRESS, "country": self.country}
        return {"address": address, "email": self.email, "name": self.name, "phone": self.phone, "tax_id": None}

    def shipping(self) -> Object | None:
        """Return the `shipping` of payment intents and charges, if there is a shipping address."""
        if self.address is None:
            return None
        parcel = {"carrier": None, "name": self.name, "phone": self.phone, "tracking_number": None}
        return {"address": self.address, **parcel}


def payment_intent(created: int, session: Object, intent_data: Object) -> Object:
    """Return a session's payment intent. Its metadata come from the session's `payment_intent_data`, as at Stripe."""
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": intent_data.get("capture_method", "automatic_async"),
        "client_secret": new_id(f"{intent_id}_secret"),
        "confirmation_method": "automatic",
        "created": created,
        "currency": session["currency"],
        "customer": None,
        "customer_account": None,
        "description": intent_data.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": dict(intent_data.get("metadata", {})),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": session["payment_method_configuration_details"],
        "payment_method_options": _method_options(session),
        "payment_method_types": session["payment_method_types"],
        "processing": None,
        "receipt_email": intent_data.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": intent_data.get("statement_descriptor"),
        "statement_descriptor_suffix": intent_data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def direct_payment_intent(created: int, params: Object) -> Object:
    """Return a payment intent that the API creates without a session."""
    types = params["payment_method_types"]
    session_fields = {
        "amount_total": params["amount"],
        "currency": params["currency"],
        "payment_method_configuration_details": None,
        "payment_method_options": {name: {} for name in types if name != "link"},
        "payment_method_types": types,
    }
    about = {name: params.get(name) for name in ("customer", "setup_future_usage", "shipping")}
    confirmation = {"confirmation_method": params.get("confirmation_method", "automatic")}
    return payment_intent(created, session_fields, params) | about | confirmation


def _method_options(session: Object) -> Object:
    card = {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    options: Object = {"card": card, "link": {"persistent_token": None}, "sepa_debit": {}}
    shown = set(session["payment_method_options"]) | ({"link"} & set(session["payment_method_types"]))
    return {name: option for name, option in options.items() if name in shown}


def charge(created: int, intent: Object, payer: Payer, method: Object, shop_name: str) -> Object:
    """Return a pending charge. The module `payments` sets its outcome."""
    by_card = method["type"] == "card"
    return {
        "id": new_id("ch" if by_card else "py"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": payer.billing_details(),
        "calculated_statement_descriptor": shop_name.upper()[:22] if by_card else None,
        "captured": False,
        "created": created,
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "destination": None,
        "dispute": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "order": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(method, intent),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": payer.shipping(),
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }


def _method_details(method: Object, intent: Object) -> Object:
    if method["type"] == "card":
        return _card_details(method, intent)
    return _sepa_details(method) if method["type"] == "sepa_debit" else {method["type"]: {}, "type": method["type"]}


def _card_details(method: Object, intent: Object) -> Object:
    card = method["card"]
    copied = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    unavailable = {"status": "unavailable"}
    return {
        "card": {
            **{name: card[name] for name in copied},
            "amount_authorized": intent["amount"],
            "authorization_code": "424242",
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": unavailable,
            "installments": None,
            "mandate": None,
            "multicapture": unavailable,
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": "424242424242424",
            "overcapture": {"maximum_amount_capturable": intent["amount"], **unavailable},
            "regulated_status": card["regulated_status"],
            "three_d_secure": None,
            "transaction_link_id": None,
            "wallet": None,
        },
        "type": "card",
    }


def _sepa_details(method: Object) -> Object:
    debit = {name: value for name, value in method["sepa_debit"].items() if name != "generated_from"}
    return {"sepa_debit": {**debit, "expected_debit_date": None, "mandate": new_id("mandate")}, "type": "sepa_debit"}
