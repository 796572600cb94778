"""The problems with which the checkout service answers, one for each error of errors.py."""

from collections.abc import Callable, Mapping
from typing import Any

from events.clock import utcnow
from events.money import format_amount
from events.web.idempotency import key_reused
from events.web.problems import Problem, invalid_request, register_errors
from flask import Flask

from checkout.errors import (
    AlreadyPaidError,
    AmountTooLargeError,
    AmountTooSmallError,
    BotCheckFailedError,
    CheckoutExpiredError,
    CheckoutNotFoundError,
    DiscountNotFoundError,
    DomainError,
    InvalidCartError,
    InventoryAwayError,
    KeyReusedError,
    OutOfStockError,
    StripeAwayError,
    StripeRejectedError,
    StripeUnauthorizedError,
    TooManyOpenCheckoutsError,
)

RETRY_AFTER = {"Retry-After": "5"}  # seconds; inventory and Stripe are usually back by then


def register(app: Flask) -> None:
    """Make the app answer each domain error with its problem."""
    register_errors(app, PROBLEMS)


def _amount_too_small(error: AmountTooSmallError) -> Problem:
    minimum = f" of {format_amount(error.minimum, error.currency)}" if error.minimum else ""
    total = format_amount(error.amount_total, error.currency)
    return Problem(
        422,
        "amount-too-small",
        f"The total of {total} is below the minimum charge{minimum}. Add items to the cart.",
        amount_total=error.amount_total,
        currency=error.currency,
        minimum=error.minimum,
    )


def _amount_too_large(error: AmountTooLargeError) -> Problem:
    total = format_amount(error.amount_total, error.currency)
    maximum = f" of {format_amount(error.maximum, error.currency)}" if error.maximum else ""
    return Problem(
        422,
        "amount-too-large",
        f"The total of {total} is above the maximum charge{maximum}. Split the cart into several checkouts.",
        amount_total=error.amount_total,
        currency=error.currency,
        maximum=error.maximum,
    )


def _too_many_open(error: TooManyOpenCheckoutsError) -> Problem:
    free = "Pay one, cancel one (POST /checkout/sessions/{checkout_id}/cancel), or wait until one ends."
    if error.kind == "email":  # anyone can name a customer's e-mail address: say no number and no time
        detail = "With this cart, the unpaid checkouts of this e-mail address would exceed a limit."
        without = "Or leave customer_email out: the payment page asks for it too."
        return Problem(429, "too-many-open-checkouts", f"{detail} {free} {without}", limited_by=error.kind)
    checkouts = "1 unpaid checkout" if error.checkouts == 1 else f"{error.checkouts} unpaid checkouts"
    pieces = "1 piece" if error.pieces == 1 else f"{error.pieces} pieces"
    left = int((error.ends_at - utcnow()).total_seconds()) if error.ends_at else 0
    return Problem(
        429,
        "too-many-open-checkouts",
        f"Your IP address has {checkouts} with {pieces} in total. One more checkout, for this cart, would exceed a"
        f" limit. {free}",
        headers={"Retry-After": str(left)} if left > 0 else RETRY_AFTER,
        limited_by=error.kind,
        open_checkouts=error.checkouts,
        open_pieces=error.pieces,
    )


PROBLEMS: Mapping[type[DomainError], Callable[[Any], Problem]] = {
    InvalidCartError: lambda error: invalid_request(**error.errors),
    AmountTooSmallError: _amount_too_small,
    AmountTooLargeError: _amount_too_large,
    OutOfStockError: lambda error: Problem(
        409,
        "out-of-stock",
        "Some items have too little stock. Reduce the listed lines, and send the cart with a new Idempotency-Key.",
        lines=error.lines,
    ),
    TooManyOpenCheckoutsError: _too_many_open,
    BotCheckFailedError: lambda _: Problem(
        403,
        "bot-check-failed",
        "The bot check did not confirm this request. Solve the check again, and send its new token as X-Bot-Check.",
    ),
    KeyReusedError: lambda _: key_reused(),
    CheckoutExpiredError: lambda _: Problem(
        409,
        "checkout-expired",
        "This checkout can no longer be paid. Start a new one with a new Idempotency-Key.",
    ),
    AlreadyPaidError: lambda _: Problem(
        409,
        "already-paid",
        "The customer has completed this checkout, so it can no longer be canceled."
        " If its order is paid, an operator can refund it.",
    ),
    CheckoutNotFoundError: lambda _: Problem(404, "checkout-not-found", "No checkout has this id. Check it."),
    DiscountNotFoundError: lambda _: Problem(
        404, "discount-not-found", "No discount has this code. Check it, or create the discount with PUT."
    ),
    InventoryAwayError: lambda _: Problem(
        503,
        "inventory-unavailable",
        "The inventory service did not answer as expected. Repeat the same request in a few seconds.",
        headers=RETRY_AFTER,
    ),
    StripeAwayError: lambda _: Problem(
        503,
        "stripe-unavailable",
        "The payment provider did not answer as expected. Repeat the same request in a few seconds.",
        headers=RETRY_AFTER,
    ),
    StripeUnauthorizedError: lambda _: Problem(
        503,
        "stripe-unauthorized",
        "The payment provider refused the shop's API key. Nothing was charged or canceled. Do not repeat this until the"
        " shop has corrected the key.",
    ),
    StripeRejectedError: lambda _: Problem(
        502,
        "stripe-rejected",
        "The payment provider rejected this request. A repeat would fail too: contact the shop.",
    ),
}
