"""Checkout Sessions: created, changed by the customer's choices, expired, recovered."""

import copy

from . import catalogue, taxes
from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .shapes.payment import Payer
from .shapes.session import DAY, checkout_session, customer_details
from .state import Object, new_id
from .totals import price_up, refuse_odd_amount

SHORTEST = 30 * 60  # Stripe's bounds for expires_at, counted from the creation
RECOVERABLE = 30 * DAY


def create_session(account: Account, params: Object, _cause: Cause) -> Object:
    _check_expiry(account, params)
    if not params["line_items"]:
        raise StripeError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if "allow_promotion_codes" in params and "discounts" in params:
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise StripeError(message, param="discounts")
    taxes.check(account, params)
    numbered = enumerate(params["line_items"])
    lines = [catalogue.line_item(account, given, f"line_items[{position}]") for position, given in numbered]
    currency = _only_currency(lines, params.get("currency"))
    _check_payment_methods(params, currency)
    session = checkout_session(account.now(), account.config.shop_name, currency, params)
    rates = [_shipping_rate(account, given, currency) for given in params.get("shipping_options", [])]
    session["shipping_options"] = [_shown(rate) for rate in rates]
    account.store.line_items[session["id"]] = lines
    account.store.session_params[session["id"]] = params
    _reprice(account, session, session["discounts"], rates[0]["id"] if rates else None)
    return _open(account, session)


def _check_expiry(account: Account, params: Object) -> None:
    ahead = params.get("expires_at", account.now() + DAY) - account.now()
    if not SHORTEST <= ahead <= DAY:
        bound = "at least 30 minutes" if ahead < SHORTEST else "less than 24 hours"
        message = f"The `expires_at` timestamp must be {bound} from Checkout Session creation."
        raise StripeError(message, param="expires_at")


def _check_payment_methods(params: Object, currency: str) -> None:
    if "sepa_debit" in params.get("payment_method_types", []) and currency != "eur":
        message = f"The payment method `sepa_debit` supports only eur, not {currency}."
        raise StripeError(message, param="payment_method_types")


def _only_currency(lines: list[Object], asked: str | None) -> str:
    currencies = {line["currency"] for line in lines} | ({asked} if asked else set())
    if len(currencies) > 1:
        message = f"All line items must have the same currency; found {', '.join(sorted(currencies))}."
        raise StripeError(message, param="line_items")
    return str(currencies.pop())


def _shipping_rate(account: Account, given: Object, currency: str) -> Object:
    if "shipping_rate_data" in given:
        rate = catalogue.create_shipping_rate(account, given["shipping_rate_data"])
    else:
        rate = account.store.get("shipping_rate", given.get("shipping_rate", ""), "shipping_options")
    if rate["fixed_amount"]["currency"] != currency:
        message = f"The shipping rate {rate['id']} must be in the session's currency, {currency}."
        raise StripeError(message, param="shipping_options")
    refuse_odd_amount(rate["fixed_amount"]["amount"], currency, "shipping_options")
    return rate


def _shown(rate: Object) -> Object:
    return {"shipping_amount": rate["fixed_amount"]["amount"], "shipping_rate": rate["id"]}


def _open(account: Account, session: Object) -> Object:
    session["url"] = f"{account.base_url}/c/pay/{session['id']}"
    account.store.add(session)
    account.later(session["expires_at"] - account.now(), lambda: _lapse(account, session))
    return session


def _lapse(account: Account, session: Object) -> None:
    if session["status"] == "open":
        expire(account, session, AUTOMATIC)


def expire(account: Account, session: Object, cause: Cause) -> Object:
    if session["status"] != "open":
        message = (
            'Only Checkout Sessions with a status in ["open"] can be expired.'
            f" This Checkout Session has a status of {session['status']}."
        )
        raise StripeError(message, param="session")
    session |= {"status": "expired", "url": None}
    if session["after_expiration"] and session["after_expiration"]["recovery"]["enabled"]:
        session["after_expiration"]["recovery"] |= {
            "expires_at": account.now() + RECOVERABLE,
            "url": f"{account.base_url}/r/{session['id']}",
        }
    account.emit("checkout.session.expired", session, cause=cause)
    _abandon_attempt(account, session)
    return session


def _abandon_attempt(account: Account, session: Object) -> None:
    """A declined attempt left a payment intent: it ends with its session."""
    if session["payment_intent"]:
        intent = account.store.get("payment_intent", session["payment_intent"])
        intent |= {"status": "canceled", "canceled_at": account.now(), "cancellation_reason": "expired"}
        account.emit("payment_intent.canceled", intent)


def choose_shipping(account: Account, session: Object, rate_id: str) -> None:
    """What the customer picks on the page; the first option until then."""
    if rate_id not in {option["shipping_rate"] for option in session["shipping_options"]}:
        raise StripeError("This session does not offer that shipping.", param="shipping_rate")
    _reprice(account, session, session["discounts"], rate_id)


def choose_country(account: Account, session: Object, country: str) -> None:
    """Where the customer is: with automatic tax, the total may follow."""
    if not session["automatic_tax"]["enabled"]:
        return
    account.store.locations[session["id"]] = country
    session["automatic_tax"]["status"] = "complete"
    _reprice(account, session, session["discounts"], _chosen_shipping(session))


def apply_promotion_code(account: Account, session: Object, code: str) -> None:
    """The code that the customer typed, where the session allows one."""
    typed = (found for found in account.store.all("promotion_code") if found["code"].lower() == code.lower())
    known = next(typed, None)
    if known is None or session["discounts"] or not session["allow_promotion_codes"]:
        raise StripeError("This promotion code is not valid here.", param="promotion_code")
    discounts = [{"coupon": known["promotion"]["coupon"], "promotion_code": known["id"]}]
    _reprice(account, session, discounts, _chosen_shipping(session))
    session["discounts"] = discounts


def _chosen_shipping(session: Object) -> str | None:
    return session["shipping_cost"] and str(session["shipping_cost"]["shipping_rate"])


def _reprice(account: Account, session: Object, discounts: list[Object], rate_id: str | None) -> None:
    lines = account.store.line_items[session["id"]]
    coupon = catalogue.coupon_of(account, discounts[0], session["currency"], _subtotal(lines)) if discounts else None
    rate = account.store.get("shipping_rate", rate_id) if rate_id else None
    given = account.store.session_params[session["id"]]["line_items"]
    line_taxes = [taxes.of_line(account, session, line, by) for line, by in zip(lines, given, strict=True)]
    shipping_taxes = taxes.automatic(account, session, rate["tax_behavior"], rate["tax_code"]) if rate else []
    price_up(session, lines, coupon, rate, line_taxes, shipping_taxes)


def _subtotal(lines: list[Object]) -> int:
    return sum(line["amount_subtotal"] for line in lines)


def complete(account: Account, session: Object, payer: Payer, payment_status: str) -> Object | None:
    """The customer is done; returns the event."""
    address = payer.address or {**payer.billing()["address"]}
    shipping = {"address": payer.address, "name": payer.name} if payer.address else None
    session |= {
        "status": "complete",
        "payment_status": payment_status,
        "url": None,
        "customer_details": customer_details(payer.email, payer.name, payer.phone, address),
        "collected_information": {"business_name": None, "individual_name": None, "shipping_details": shipping},
    }
    catalogue.redeem(account, session)
    return account.emit("checkout.session.completed", session)


def tell_bank_answer(account: Account, intent: Object, *, paid: bool) -> None:
    """A debit has been decided: the session that it was for, if any, says so."""
    for session in account.store.all("checkout.session"):
        if session["payment_intent"] == intent["id"]:
            session["payment_status"] = "paid" if paid else "unpaid"
            account.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)


def recover(account: Account, expired: Object) -> Object:
    """A new session for an abandoned cart: same contents, new id, `recovered_from` names the old one."""
    recovery = (expired["after_expiration"] or {}).get("recovery") or {}
    if not recovery.get("url") or recovery["expires_at"] <= account.now():
        raise StripeError("This cart can no longer be recovered.", status=410)
    session: Object = copy.deepcopy(expired) | {
        "id": new_id("cs_test_a1", 56).replace("a1_", "a1"),
        "status": "open",
        "created": account.now(),
        "expires_at": account.now() + DAY,
        "after_expiration": None,
        "payment_intent": None,
        "recovered_from": expired["id"],
        "allow_promotion_codes": recovery["allow_promotion_codes"] or None,
    }
    account.store.line_items[session["id"]] = copy.deepcopy(account.store.line_items[expired["id"]])
    account.store.session_params[session["id"]] = account.store.session_params[expired["id"]]
    return _open(account, session)
