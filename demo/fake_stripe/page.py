"""The hosted payment page: plain HTML forms, no script needed."""

import re
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from . import hosted, payments, sessions, taxes
from .account import AUTOMATIC, Account
from .cards import EFFECTS, IBAN_FAILS, IBAN_SUCCEEDS
from .errors import StripeError
from .money import display
from .shapes.payment import NO_ADDRESS, Payer
from .state import Object

METHODS = {"card": "card", "sepa_success": "sepa_debit", "sepa_fail": "sepa_debit"}
IBANS = {"sepa_success": IBAN_SUCCEEDS, "sepa_fail": IBAN_FAILS}
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
    blueprint = Blueprint("page", __name__, template_folder="templates")

    @blueprint.get("/c/pay/<session_id>")
    def show(session_id: str) -> Response:
        return _page(account, _session(account, session_id), prefilled(account, session_id))

    @blueprint.post("/c/pay/<session_id>")
    def pay(session_id: str) -> BaseResponse:
        return _pay(account, _session(account, session_id))

    @blueprint.post("/c/pay/<session_id>/expire")
    def let_expire(session_id: str) -> BaseResponse:
        with account.store.lock:
            session = _session(account, session_id)
            if session["status"] == "open":
                sessions.expire(account, session, AUTOMATIC)
        return redirect(f"/c/pay/{session_id}", 303)

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


def prefilled(account: Account, session_id: str) -> dict[str, str]:
    session = _session(account, session_id)
    country = account.store.locations.get(session_id) or _countries(session)[0]
    return {**DEFAULTS, "email": session["customer_email"] or "", "country": country}


def _countries(session: Object) -> list[str]:
    allowed = (session["shipping_address_collection"] or {}).get("allowed_countries")
    return allowed or ["DE", *sorted(taxes.STANDARD.keys() - {"DE"}), "US"]


def _asks_address(session: Object) -> bool:
    return bool(session["shipping_address_collection"]) or session["billing_address_collection"] == "required"


def _mistakes(session: Object, form: dict[str, str]) -> dict[str, str]:
    """What has to be typed before paying, by field."""
    needed = {"name": "Enter your name."}
    if session["phone_number_collection"]["enabled"]:
        needed["phone"] = "Enter a phone number, with the country: +49 30 901820."
    if _asks_address(session):
        needed |= {"line1": "Enter street and number.", "postal_code": "Enter a postal code.", "city": "Enter a city."}
    if (session["consent_collection"] or {}).get("terms_of_service") == "required":
        needed["terms"] = "Accept the terms to go on."
    found = {field: message for field, message in needed.items() if not form.get(field, "").strip()}
    if not EMAIL.fullmatch(form["email"].strip()):
        found["email"] = "Enter an e-mail address like anna@example.com."
    if form["country"] not in _countries(session):
        found["country"] = "Choose one of these countries."
    return found


def _pay(account: Account, session: Object) -> BaseResponse:
    form = {**prefilled(account, session["id"]), **request.form.to_dict()}
    try:
        changed = _change_total(account, session, form)
        if changed or "update" in form:  # nobody pays an amount that they have not seen
            return _page(account, session, form, notice=changed)
        if mistakes := _mistakes(session, form):
            return _page(account, session, form, mistakes)
        return redirect(pay(account, session, form, account.config.redirect_wait), 303)
    except StripeError as error:
        return _page(account, session, form, {"pay": str(error)})


def _change_total(account: Account, session: Object, form: dict[str, str]) -> str | None:
    """Take up country, shipping and a promotion code; says what has changed, if anything."""
    before = session["amount_total"]
    with account.store.lock:
        if session["status"] == "open":
            choose(account, session, form)
        return "The total has changed." if session["amount_total"] != before else None


def choose(account: Account, session: Object, form: dict[str, str]) -> None:
    """What moves the total."""
    sessions.choose_country(account, session, form["country"])
    chosen, cost = form.get("shipping_rate"), session["shipping_cost"]
    if chosen and cost and chosen != cost["shipping_rate"]:
        sessions.choose_shipping(account, session, chosen)
    if code := form.pop("promotion_code", "").strip():
        sessions.apply_promotion_code(account, session, code)


def pay(account: Account, session: Object, form: dict[str, str], wait: float) -> str:
    """Pay as the form says; returns where the customer goes next. A repeated click changes nothing."""
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
    number = IBANS.get(method) or re.sub(r"\D", "", form["card_number"])
    session["consent"] = _consent(session["consent_collection"] or {}, form)
    return hosted.pay(account, session, payments.add_method(account, METHODS[method], number, payer), payer)


def _payer(session: Object, form: dict[str, str]) -> Payer:
    typed = {**NO_ADDRESS, **{name: form[name] for name in ("city", "country", "line1", "postal_code")}}
    return Payer(
        form["email"].strip(),
        form["name"].strip(),
        form["country"],
        phone=form["phone"].strip() if session["phone_number_collection"]["enabled"] else None,
        address=typed if session["shipping_address_collection"] else None,
        billing_address=typed if session["billing_address_collection"] == "required" else None,
    )


def _consent(asked: Object, form: dict[str, str]) -> Object | None:
    promotions = terms = None
    if asked.get("promotions") == "auto":
        promotions = "opt_in" if form.get("promotions") else "opt_out"
    if asked.get("terms_of_service") == "required":
        terms = "accepted"
    return {"promotions": promotions, "terms_of_service": terms} if promotions or terms else None


def success_url(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _page(
    account: Account,
    session: Object,
    form: dict[str, str],
    errors: dict[str, str] | None = None,
    notice: str | None = None,
) -> Response:
    if session["status"] != "open":
        return _closed(account, session)
    with account.store.lock:
        html = render_template("pay.html", **_shown(account, session), form=form, errors=errors or {}, notice=notice)
    return Response(html, 422 if errors else 200)


def _shown(account: Account, session: Object) -> dict[str, Any]:
    rates = [account.store.get("shipping_rate", o["shipping_rate"]) for o in session["shipping_options"]]
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
        "methods": [m for m, kind in METHODS.items() if kind in session["payment_method_types"]],
        "cards": EFFECTS,
        "delay": account.config.sepa_delay,
        "money": lambda amount: display(amount, session["currency"]),
    }


def _added_tax(session: Object) -> int:
    """The part of the tax that comes on top of the prices."""
    parts = session["total_details"]
    return int(
        session["amount_total"] - session["amount_subtotal"] + parts["amount_discount"] - parts["amount_shipping"]
    )


def _closed(account: Account, session: Object) -> Response:
    complete = session["status"] == "complete"
    title = "You have paid already" if complete else "This payment page has expired"
    text = (
        "There is nothing left to do here." if complete else "Nothing was charged. Go back to the shop to start again."
    )
    link = success_url(session) if complete else session["cancel_url"]
    shop = account.config.shop_name
    html = render_template("message.html", title=title, text=text, link=link, shop=shop)
    return Response(html, 200 if complete else 410)
