"""Checks of a paid session against the checkout's snapshot, before an order is fulfilled."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from events.messaging.contracts.reviews import ReviewReason
from events.messaging.event import Event
from events.money import format_amount

from orders.models.orders import Order
from orders.models.payments import Payment
from orders.stripe_objects import StripeObject, currency_of

MAX_SHOWN_CURRENCY = 30  # characters of a text that is no currency's code


class Mismatch(NamedTuple):
    """A reason for a review, and sentences about it for the operator who resolves it."""

    reason: ReviewReason
    detail: str


def find_mismatch(order: Order, event: Event, payment: Payment | None = None) -> Mismatch | None:
    """Return the most severe mismatch between a paid session and its order, or None. Its detail describes all of them.

    Amounts that this event leaves out, but an earlier one reported, are read from `payment`, the session's payment.
    """
    mismatches = list(_mismatches(order, event, _details_of(event.object, payment)))
    if not mismatches:
        return None
    most_severe = min(mismatches, key=lambda mismatch: list(ReviewReason).index(mismatch.reason))
    return Mismatch(most_severe.reason, " ".join(mismatch.detail for mismatch in mismatches))


def _details_of(paid: StripeObject, payment: Payment | None) -> dict[str, int | None]:
    """Return the amounts that make up a paid session's total. A missing amount is taken from the payment."""
    details = paid.get("total_details") or {}
    names = ("amount_tax", "amount_discount", "amount_shipping")
    known = {name: getattr(payment, name, None) for name in names}
    return known | {name: details[name] for name in names if details.get(name) is not None}


def _mismatches(order: Order, event: Event, details: Mapping[str, int | None]) -> Iterator[Mismatch]:
    paid = event.object
    # With Adaptive Pricing the customer pays in another currency, which is in `presentment_details`. The session's own
    # currency and amount stay those of the checkout. Only these are compared.
    if currency_of(paid) != order.currency:
        code = str(paid.get("currency")).upper()[:MAX_SHOWN_CURRENCY]
        detail = f"The customer paid in {code} instead of {order.currency.upper()}."
        yield Mismatch(ReviewReason.CURRENCY_MISMATCH, detail)
    elif not _is_expected_total(order, paid["amount_total"], details):
        expected, actual = (
            format_amount(amount, order.currency) for amount in (order.amount_total, paid["amount_total"])
        )
        yield Mismatch(ReviewReason.AMOUNT_MISMATCH, f"The customer paid {actual} instead of {expected}.")
    elif wrong := _wrong_destination(order, details):
        yield Mismatch(ReviewReason.AMOUNT_MISMATCH, wrong)
    livemode = paid.get("livemode")
    if livemode is None:
        livemode = event.headers.get("livemode", order.livemode)  # the event says it, too
    if livemode != order.livemode:
        detail = f"The customer paid in {_mode(livemode)} mode instead of {_mode(order.livemode)} mode."
        yield Mismatch(ReviewReason.LIVEMODE_MISMATCH, detail)
    if account := event.headers.get("account"):
        detail = f"The customer paid the connected account {account} instead of the shop's own account."
        yield Mismatch(ReviewReason.ACCOUNT_MISMATCH, detail)


def _is_expected_total(order: Order, amount_total: int, details: Mapping[str, int | None]) -> bool:
    """Return True if the session's total is the order's total plus at most the taxes that Stripe calculated.

    Automatic tax adds exclusive taxes to the total, and inclusive taxes are part of it. `amount_tax` is the sum of
    both, and one session may have both kinds. So the total may be higher than the order's by any part of the taxes.
    It may be lower only by a promotion code's discount, if checkout allowed promotion codes. The customer chooses one
    of the offered shipping options, and the order's total includes the first of them.
    """
    shipping = details.get("amount_shipping")
    chosen = shipping if shipping in _offered_amounts(order) else order.amount_shipping
    extra = max(0, (details.get("amount_discount") or 0) - order.amount_discount) if order.promotion_codes else 0
    expected = order.amount_total - order.amount_shipping + (chosen or 0) - extra
    return expected <= amount_total <= expected + (details.get("amount_tax") or 0)


def _offered_amounts(order: Order) -> set[int]:
    return {offer["amount"] for offer in order.shipping_offers}


def _wrong_destination(order: Order, details: Mapping[str, int | None]) -> str | None:
    """Return a sentence if the chosen shipping option does not go to the customer's country; otherwise None.

    Stripe's page offers all options to every customer, also those for other countries.
    """
    country, shipping = (order.shipping_address or {}).get("country"), details.get("amount_shipping")
    limits = [offer["countries"] for offer in order.shipping_offers if offer["amount"] == shipping]
    if country is None or not limits or any(not countries or country in countries for countries in limits):
        return None
    amount = format_amount(shipping or 0, order.currency)
    return (
        f"The customer chose the shipping option that costs {amount}."
        f" It is not offered for the country of the address ({country})."
    )


def _mode(livemode: bool) -> str:
    return "live" if livemode else "test"
