"""Checkout Sessions: creation, the customer's choices, completion, expiry and recovery.

open ─▶ complete   paid, or unpaid until a debit, voucher or bank transfer is paid
  └───▶ expired ─▶ a new open session, if the customer follows the recovery link
"""

import copy

from . import catalog, taxes
from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .objects.payment import Payer
from .objects.session import DAY_S, checkout_session, customer_details
from .store import Object, new_id
from .totals import check_step, discount_shares, set_amounts

MIN_LIFETIME_S = 30 * 60  # Stripe's limits for `expires_at`, from the session's creation
MAX_LIFETIME_S = DAY_S
RECOVERY_PERIOD_S = 30 * DAY_S


def create_session(account: Account, params: Object, _cause: Cause) -> Object:
    """Create an open session with its lines and amounts. Raise `StripeError` for parameters that Stripe refuses."""
    _check_expiry(account, params)
    if not params["line_items"]:
        raise StripeError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if "allow_promotion_codes" in params and "discounts" in params:
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise StripeError(message, param="discounts")
    taxes.check(account, params)
    numbered = enumerate(params["line_items"])
    lines = [catalog.create_line_item(account, given, f"line_items[{position}]") for position, given in numbered]
    currency = _common_currency(lines, params.get("currency"))
    _check_payment_methods(params, currency)
    session = checkout_session(account.now(), account.config.shop_name, currency, params)
    rates = [_get_or_create_shipping_rate(account, given, currency) for given in params.get("shipping_options", [])]
    session["shipping_options"] = [_shipping_option(rate) for rate in rates]
    account.store.line_items[session["id"]] = lines
    account.store.session_params[session["id"]] = params
    _update_amounts(account, session, session["discounts"], rates[0]["id"] if rates else None)
    return _add_session(account, session)


def _check_expiry(account: Account, params: Object) -> None:
    lifetime = params.get("expires_at", account.now() + DAY_S) - account.now()
    if not MIN_LIFETIME_S <= lifetime <= MAX_LIFETIME_S:
        bound = "at least 30 minutes" if lifetime < MIN_LIFETIME_S else "less than 24 hours"
        message = f"The `expires_at` timestamp must be {bound} from Checkout Session creation."
        raise StripeError(message, param="expires_at")


def _check_payment_methods(params: Object, currency: str) -> None:
    if "sepa_debit" in params.get("payment_method_types", []) and currency != "eur":
        message = f"The payment method `sepa_debit` supports only eur, not {currency}."
        raise StripeError(message, param="payment_method_types")


def _common_currency(lines: list[Object], asked: str | None) -> str:
    currencies = {line["currency"] for line in lines} | ({asked} if asked else set())
    if len(currencies) > 1:
        message = f"All line items must have the same currency. Found {', '.join(sorted(currencies))}."
        raise StripeError(message, param="line_items")
    return str(currencies.pop())


def _get_or_create_shipping_rate(account: Account, given: Object, currency: str) -> Object:
    if "shipping_rate_data" in given:
        rate = catalog.create_shipping_rate(account, given["shipping_rate_data"])
    else:
        rate = account.store.get("shipping_rate", given.get("shipping_rate", ""), "shipping_options")
    if rate["fixed_amount"]["currency"] != currency:
        message = f"The shipping rate {rate['id']} must be in the session's currency, {currency}."
        raise StripeError(message, param="shipping_options")
    check_step(rate["fixed_amount"]["amount"], currency, "shipping_options")
    return rate


def _shipping_option(rate: Object) -> Object:
    return {"shipping_amount": rate["fixed_amount"]["amount"], "shipping_rate": rate["id"]}


def _add_session(account: Account, session: Object) -> Object:
    """Add a session with the URL of its payment page, and schedule its expiry."""
    session["url"] = f"{account.base_url}/c/pay/{session['id']}"
    account.store.add(session)
    account.schedule(session["expires_at"] - account.now(), lambda: _expire_if_open(account, session))
    return session


def _expire_if_open(account: Account, session: Object) -> None:
    if session["status"] == "open":
        expire(account, session, AUTOMATIC)


def expire(account: Account, session: Object, cause: Cause) -> Object:
    """Expire an open session and cancel its payment intent. Raise `StripeError` if the session is not open."""
    if session["status"] != "open":
        message = (
            'Only Checkout Sessions with a status in ["open"] can be expired.'
            f" This Checkout Session has a status of {session['status']}."
        )
        raise StripeError(message, param="session")
    session |= {"status": "expired", "url": None}
    if session["after_expiration"] and session["after_expiration"]["recovery"]["enabled"]:
        session["after_expiration"]["recovery"] |= {
            "expires_at": account.now() + RECOVERY_PERIOD_S,
            "url": f"{account.base_url}/r/{session['id']}",
        }
    account.emit("checkout.session.expired", session, cause=cause)
    _cancel_intent(account, session)
    return session


def _cancel_intent(account: Account, session: Object) -> None:
    """Cancel the payment intent that a declined attempt left."""
    if session["payment_intent"]:
        intent = account.store.get("payment_intent", session["payment_intent"])
        intent |= {"status": "canceled", "canceled_at": account.now(), "cancellation_reason": "expired"}
        account.emit("payment_intent.canceled", intent)


def choose_shipping(account: Account, session: Object, rate_id: str) -> None:
    """Choose one of the session's shipping options and update the total. Raise `StripeError` for any other option.

    The first option is the default.
    """
    if rate_id not in {option["shipping_rate"] for option in session["shipping_options"]}:
        raise StripeError("This session does not have that shipping option.", param="shipping_rate")
    _update_amounts(account, session, session["discounts"], rate_id)


def choose_presentment(session: Object, currency: str, amount: int) -> None:
    """Let the customer pay this amount of minor units in their own currency (Adaptive Pricing).

    The session keeps its currency and amounts.
    """
    session["presentment_details"] = {"presentment_amount": amount, "presentment_currency": currency}


def choose_currency(session: Object, currency: str) -> None:
    """Charge in another currency, as for prices in several currencies. The numbers of the amounts do not change.

    See docs.stripe.com/payments/currencies/localize-prices/manual-currency-prices.
    """
    session["currency"] = currency


def choose_country(account: Account, session: Object, country: str) -> None:
    """Store the customer's country and update taxes and total. Without automatic tax, change nothing."""
    if not session["automatic_tax"]["enabled"]:
        return
    account.store.countries[session["id"]] = country
    session["automatic_tax"]["status"] = "complete"
    _update_amounts(account, session, session["discounts"], _chosen_shipping(session))


def apply_promotion_code(account: Account, session: Object, code: str) -> None:
    """Apply a promotion code in upper or lower case, and update the total. Raise `StripeError` if it is not valid."""
    matching = (found for found in account.store.all("promotion_code") if found["code"].lower() == code.lower())
    known = next(matching, None)
    if known is None or session["discounts"] or not session["allow_promotion_codes"]:
        raise StripeError("This promotion code is not valid here.", param="promotion_code")
    discounts = [{"coupon": known["promotion"]["coupon"], "promotion_code": known["id"]}]
    _update_amounts(account, session, discounts, _chosen_shipping(session))
    session["discounts"] = discounts


def _chosen_shipping(session: Object) -> str | None:
    return session["shipping_cost"] and str(session["shipping_cost"]["shipping_rate"])


def _update_amounts(account: Account, session: Object, discounts: list[Object], rate_id: str | None) -> None:
    lines = account.store.line_items[session["id"]]
    shares = [0 for _ in lines]
    if discounts:
        coupon = catalog.get_valid_coupon(account, discounts[0], session["currency"], lines)
        discountable = catalog.discountable_amounts(account, coupon, lines)
        shares = discount_shares(coupon, discountable, session["currency"])
    rate = account.store.get("shipping_rate", rate_id) if rate_id else None
    given = account.store.session_params[session["id"]]["line_items"]
    line_taxes = [taxes.line_rates(account, session, line, params) for line, params in zip(lines, given, strict=True)]
    shipping_taxes = taxes.automatic_rates(account, session, rate["tax_behavior"], rate["tax_code"]) if rate else []
    set_amounts(session, lines, shares, rate, line_taxes, shipping_taxes)


def complete(account: Account, session: Object, payer: Payer, payment_status: str) -> Object | None:
    """Complete a session, count the use of its discounts, and return the event: None if a fault prevents the event."""
    address = payer.address or {**payer.billing_details()["address"]}
    shipping = {"address": payer.address, "name": payer.name} if payer.address else None
    session |= {
        "status": "complete",
        "payment_status": payment_status,
        "url": None,
        "customer_details": customer_details(payer.email, payer.name, payer.phone, address),
        "collected_information": {"business_name": None, "individual_name": None, "shipping_details": shipping},
    }
    catalog.redeem(account, session)
    return account.emit("checkout.session.completed", session)


def finish_delayed_payment(account: Account, intent: Object, *, paid: bool) -> None:
    """Set the payment status of the intent's session after its delayed payment, and emit the event of the result."""
    for session in account.store.all("checkout.session"):
        if session["payment_intent"] == intent["id"]:
            session["payment_status"] = "paid" if paid else "unpaid"
            account.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)


def recover(account: Account, expired: Object) -> Object:
    """Create an open session with the contents of an expired one, whose id is in `recovered_from`.

    Raise `StripeError` (410) if recovery is not enabled or its period is over.
    """
    recovery = (expired["after_expiration"] or {}).get("recovery") or {}
    if not recovery.get("url") or recovery["expires_at"] <= account.now():
        raise StripeError("This cart cannot be recovered.", status=410)
    session: Object = copy.deepcopy(expired) | {
        "id": new_id("cs_test_a1", 56).replace("a1_", "a1"),
        "status": "open",
        "created": account.now(),
        "expires_at": account.now() + DAY_S,
        "after_expiration": None,
        "payment_intent": None,
        "recovered_from": expired["id"],
        "allow_promotion_codes": recovery["allow_promotion_codes"] or None,
    }
    account.store.line_items[session["id"]] = copy.deepcopy(account.store.line_items[expired["id"]])
    account.store.session_params[session["id"]] = account.store.session_params[expired["id"]]
    return _add_session(account, session)
