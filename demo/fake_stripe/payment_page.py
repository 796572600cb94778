"""Stripe's hosted payment page, as plain HTML forms that also work without JavaScript."""

import re
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from . import bank_transfers, payments, session_payments, sessions, taxes
from .account import AUTOMATIC, Account
from .cards import CARD_EFFECTS, IBAN_FAILS, IBAN_SUCCEEDS
from .errors import StripeError
from .money import format_amount
from .objects.payment import NO_ADDRESS, Payer
from .store import Object
from .vouchers import EXPIRES, PAID, VOUCHER_TYPES

METHODS = {  # form value -> payment method types, of which a session has one at most
    "card": {"card"},
    "sepa_success": {"sepa_debit"},
    "sepa_fail": {"sepa_debit"},
    "voucher": {*VOUCHER_TYPES.values()},
    "voucher_expires": {*VOUCHER_TYPES.values()},
    "bank_transfer": {bank_transfers.METHOD_TYPE},
}
NUMBERS = {"sepa_success": IBAN_SUCCEEDS, "sepa_fail": IBAN_FAILS, "voucher": PAID, "voucher_expires": EXPIRES}
DEFAULTS = {
    "method": "card",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "08 / 30",
    "card_cvc": "123",
    "name": "Zoë Müller",
    "phone": "+49 30 901820",
    "line1": "Beispielstraße 12",
    "postal_code": "10115",
    "city": "Berlin",
}
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def create_blueprint(account: Account) -> Blueprint:
    """Return the routes of the payment page, the voucher's page and the recovery link."""
    blueprint = Blueprint("payment_page", __name__, template_folder="templates")

    @blueprint.get("/c/pay/<session_id>")
    def show(session_id: str) -> Response:
        return _render_form(account, _session(account, session_id), prefilled_form(account, session_id))

    @blueprint.post("/c/pay/<session_id>")
    def submit(session_id: str) -> BaseResponse:
        return _submit(account, _session(account, session_id))

    @blueprint.post("/c/pay/<session_id>/expire")
    def expire(session_id: str) -> BaseResponse:
        with account.store.lock:
            session = _session(account, session_id)
            if session["status"] == "open":
                sessions.expire(account, session, AUTOMATIC)
        return redirect(f"/c/pay/{session_id}", 303)

    @blueprint.get("/voucher/<intent_id>")
    def voucher(intent_id: str) -> str:
        intent = account.store.get("payment_intent", intent_id)
        amount = format_amount(intent["amount"], intent["currency"])
        text = f"Pay {amount} at a store. This demo does so by itself after a moment, or lets the voucher expire."
        return render_template("message.html", title="Your voucher", text=text)

    @blueprint.get("/r/<session_id>")
    def recover(session_id: str) -> BaseResponse:
        with account.store.lock:
            return redirect(sessions.recover(account, _session(account, session_id))["url"], 303)

    @blueprint.errorhandler(StripeError)
    def failed(error: StripeError) -> tuple[str, int]:
        return render_template("message.html", title="This link does not work", text=str(error)), error.status

    return blueprint


def _session(account: Account, session_id: str) -> Object:
    return account.store.get("checkout.session", session_id)


def prefilled_form(account: Account, session_id: str) -> dict[str, str]:
    """Return the form's initial values: a test card, a sample address, and the session's e-mail and country."""
    session = _session(account, session_id)
    country = account.store.countries.get(session_id) or _countries(session)[0]
    return {**DEFAULTS, "email": session["customer_email"] or "", "country": country}


def _countries(session: Object) -> list[str]:
    allowed = (session["shipping_address_collection"] or {}).get("allowed_countries")
    return allowed or ["DE", *sorted(taxes.STANDARD_RATES.keys() - {"DE"}), "US"]


def _asks_address(session: Object) -> bool:
    return bool(session["shipping_address_collection"]) or session["billing_address_collection"] == "required"


def _find_errors(session: Object, form: dict[str, str]) -> dict[str, str]:
    """Return the error of each field that is missing or not valid."""
    required = {"name": "Enter your name."}
    if session["phone_number_collection"]["enabled"]:
        required["phone"] = "Enter a phone number with the country code, like +49 30 901820."
    if _asks_address(session):
        required |= {
            "line1": "Enter the street and number.",
            "postal_code": "Enter a postal code.",
            "city": "Enter a city.",
        }
    if (session["consent_collection"] or {}).get("terms_of_service") == "required":
        required["terms"] = "Accept the terms of service to continue."
    errors = {field: message for field, message in required.items() if not form.get(field, "").strip()}
    if not EMAIL.fullmatch(form["email"].strip()):
        errors["email"] = "Enter an e-mail address like anna@example.com."
    if form["country"] not in _countries(session):
        errors["country"] = "Choose one of these countries."
    return errors


def _submit(account: Account, session: Object) -> BaseResponse:
    form = {**prefilled_form(account, session["id"]), **request.form.to_dict()}
    try:
        notice = _update_total(account, session, form)
        if notice or "update" in form:  # show a new total before the customer pays it
            return _render_form(account, session, form, notice=notice)
        if errors := _find_errors(session, form):
            return _render_form(account, session, form, errors)
        return redirect(pay(account, session, form, account.config.redirect_wait), 303)
    except StripeError as error:
        return _render_form(account, session, form, {"pay": str(error)})


def _update_total(account: Account, session: Object, form: dict[str, str]) -> str | None:
    """Apply the form's choices to an open session. Return a notice if the total has changed."""
    before = session["amount_total"]
    with account.store.lock:
        if session["status"] == "open":
            apply_choices(account, session, form)
        return "The total has changed." if session["amount_total"] != before else None


def apply_choices(account: Account, session: Object, form: dict[str, str]) -> None:
    """Apply what the customer chose on the page: country, shipping option, currencies, promotion code.

    This updates the session's total. Raise `StripeError` for a choice that the session does not allow.
    """
    sessions.choose_country(account, session, form["country"])
    chosen, cost = form.get("shipping_rate"), session["shipping_cost"]
    if chosen and cost and chosen != cost["shipping_rate"]:
        sessions.choose_shipping(account, session, chosen)
    if currency := form.get("presentment_currency"):
        sessions.choose_presentment(session, currency, int(form["presentment_amount"]))
    if currency := form.get("currency"):
        sessions.choose_currency(session, currency)
    if code := form.pop("promotion_code", "").strip():
        sessions.apply_promotion_code(account, session, code)


def pay(account: Account, session: Object, form: dict[str, str], wait: float) -> str:
    """Pay the session and return the URL of the success page. Change nothing if it is complete already.

    Wait up to `wait` seconds until the webhook has answered. Raise `StripeError` if the payment is declined or
    not possible.
    """
    with account.store.lock:
        if session["status"] == "complete":
            return success_url(session)
        event = _charge(account, session, form)
    if event:
        account.webhooks.wait_answered(event["id"], wait)
    return success_url(session)


def _charge(account: Account, session: Object, form: dict[str, str]) -> Object | None:
    method = form.get("method", "card")
    if method not in METHODS:
        raise StripeError("Choose how to pay.", param="method")
    payer = _payer(session, form)
    number = NUMBERS.get(method) or re.sub(r"\D", "", form["card_number"])
    type_ = next(iter(METHODS[method] & {*session["payment_method_types"]}), next(iter(METHODS[method])))
    session["consent"] = _consent(session["consent_collection"] or {}, form)
    return session_payments.pay(account, session, payments.add_method(account, type_, number, payer), payer)


def _payer(session: Object, form: dict[str, str]) -> Payer:
    address = {**NO_ADDRESS, **{name: form[name] for name in ("city", "country", "line1", "postal_code")}}
    return Payer(
        form["email"].strip(),
        form["name"].strip(),
        form["country"],
        phone=form["phone"].strip() if session["phone_number_collection"]["enabled"] else None,
        address=address if session["shipping_address_collection"] else None,
        billing_address=address if session["billing_address_collection"] == "required" else None,
    )


def _consent(asked: Object, form: dict[str, str]) -> Object | None:
    promotions = terms = None
    if asked.get("promotions") == "auto":
        promotions = "opt_in" if form.get("promotions") else "opt_out"
    if asked.get("terms_of_service") == "required":
        terms = "accepted"
    return {"promotions": promotions, "terms_of_service": terms} if promotions or terms else None


def success_url(session: Object) -> str:
    """Return the URL of the shop's success page, with the session's id."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _render_form(
    account: Account,
    session: Object,
    form: dict[str, str],
    errors: dict[str, str] | None = None,
    notice: str | None = None,
) -> Response:
    if session["status"] != "open":
        return _render_closed(account, session)
    with account.store.lock:
        values = _template_values(account, session)
        html = render_template("pay.html", **values, form=form, errors=errors or {}, notice=notice)
    return Response(html, 422 if errors else 200)


def _template_values(account: Account, session: Object) -> dict[str, Any]:
    rates = [account.store.get("shipping_rate", option["shipping_rate"]) for option in session["shipping_options"]]
    return {
        "shop": account.config.shop_name,
        "session": session,
        "lines": account.store.line_items[session["id"]],
        "products": {product["id"]: product for product in account.store.all("product")},
        "rates": rates,
        "countries": _countries(session),
        "asks_address": _asks_address(session),
        "asks_country": _asks_address(session) or session["automatic_tax"]["enabled"],
        "added_tax": _added_tax(session),
        "methods": [method for method, types in METHODS.items() if types & {*session["payment_method_types"]}],
        "cards": CARD_EFFECTS,
        "delay": account.config.sepa_delay,
        "money": lambda amount: format_amount(amount, session["currency"]),
    }


def _added_tax(session: Object) -> int:
    """Return the part of the tax that is added to the prices."""
    parts = session["total_details"]
    return int(
        session["amount_total"] - session["amount_subtotal"] + parts["amount_discount"] - parts["amount_shipping"]
    )


def _render_closed(account: Account, session: Object) -> Response:
    shop = account.config.shop_name
    if session["status"] == "complete":
        title, text = "You have already paid", "You can close this page."
        return Response(
            render_template("message.html", title=title, text=text, link=success_url(session), shop=shop), 200
        )
    title, text = "This payment page has expired", "Nothing was charged. Go back to the shop to start again."
    return Response(render_template("message.html", title=title, text=text, link=session["cancel_url"], shop=shop), 410)
