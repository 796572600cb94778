"""Discount codes: the amount off a cart, the limits of their use, and the uses.

A checkout holds a use while the customer may pay. The use counts as used once the checkout is paid. It is released when
the checkout ends unpaid or its payment fails. If a payment still arrives later, the use counts again, even beyond the
limit: a payment is never refused because of a discount.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.database.email_keys import email_key
from events.database.transaction import for_update, insert_once
from events.money import format_amount, percentage
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from checkout.errors import InvalidCartError
from checkout.models import (
    ENDED_UNPAID,
    HELD,
    PAYMENT_FAILED,
    PAYMENT_PAID,
    RELEASED,
    USED,
    Checkout,
    Discount,
    DiscountUse,
)

# One text for paid and for unpaid uses: anyone can name a customer's e-mail address, and must not learn which it is.
NO_USE_LEFT = (
    "This code is limited per customer, and this e-mail address has no use left. If an unpaid checkout of yours uses"
    " the code, cancel that checkout or wait until it ends. Otherwise pay without the code."
)


def amount_off(session: Session, code: str, subtotal: int, currency: str, now: datetime) -> int:
    """Return the amount that the code takes off `subtotal`, the price of the goods. Both are in minor units.

    Raises `InvalidCartError` if the code is unknown or inactive, does not apply to this cart, or is not valid now.
    """
    discount = session.get(Discount, code)
    if discount is None or not discount.active:
        raise _invalid("This code is not valid. Correct it, or pay without it.")
    if discount.starts_at and now < discount.starts_at:
        raise _invalid(f"This code is valid from {_utc(discount.starts_at)}. Pay without it, or later.")
    if discount.ends_at and now >= discount.ends_at:
        raise _invalid(f"This code was valid until {_utc(discount.ends_at)}. Pay without it.")
    prices = [prices for prices in (discount.amounts_off, discount.minimums) if prices]
    if any(currency not in by_currency for by_currency in prices):
        raise _invalid(f"This code is not valid in {currency.upper()}. Pay in another currency, or without it.")
    minimum = discount.minimums.get(currency, 0)
    if subtotal < minimum:
        required = format_amount(minimum, currency)
        raise _invalid(f"This code needs goods for {required} or more. Add items to the cart, or pay without it.")
    if discount.percent_off is not None:
        return percentage(subtotal, discount.percent_off, currency)
    return min(subtotal, (discount.amounts_off or {})[currency])


def hold_use(session: Session, checkout: Checkout) -> None:
    """Hold a use of the checkout's discount, if it has one.

    Raises `InvalidCartError` if no use is left, or if the discount is limited per e-mail address and the checkout has
    none. The transaction must then be rolled back.
    """
    if checkout.discount_code is None:
        return
    discount = session.get_one(Discount, checkout.discount_code)
    email = _email_key(checkout)
    if discount.limit_total or discount.limit_per_email:
        _check_limits(session, checkout.discount_code, email)
    session.add(DiscountUse(checkout_id=checkout.id, code=discount.code, email=email, status=HELD))


def update_use(session: Session, checkout: Checkout) -> None:
    """Derive the status of the checkout's discount use from the checkout, and store it. Without a discount, do nothing.

    Lock the checkout first.
    """
    if checkout.discount_code is None:
        return
    status = _use_status(checkout)
    email = _email_key(checkout)
    key = {"checkout_id": checkout.id}
    if not insert_once(session, DiscountUse, **key, code=checkout.discount_code, email=email, status=status):
        session.execute(update(DiscountUse).filter_by(**key).values(status=status))


def count_uses(session: Session, codes: list[str]) -> dict[str, dict[str, int]]:
    """Return `{used, held}` by code: the numbers of uses by paid checkouts and by those that may still be paid."""
    statement = (
        select(DiscountUse.code, DiscountUse.status, func.count())
        .where(DiscountUse.code.in_(codes), DiscountUse.status != RELEASED)
        .group_by(DiscountUse.code, DiscountUse.status)
    )
    counts = {code: {USED: 0, HELD: 0} for code in codes}
    for code, status, count in session.execute(statement):
        counts[code][status] = count
    return counts


def _email_key(checkout: Checkout) -> str | None:
    return email_key(checkout.customer_email) if checkout.customer_email else None


def _use_status(checkout: Checkout) -> str:
    if checkout.payment_status == PAYMENT_PAID:
        return USED
    return RELEASED if checkout.payment_status == PAYMENT_FAILED or checkout.status in ENDED_UNPAID else HELD


def _check_limits(session: Session, code: str, email: str | None) -> None:
    """Lock the discount and raise the errors of `hold_use`. Concurrent checkouts wait for the lock."""
    statement = select(Discount).where(Discount.code == code).execution_options(populate_existing=True)
    discount = session.scalars(for_update(session, statement)).one()
    if discount.limit_per_email:
        if email is None:
            raise InvalidCartError(
                customer_email=["This discount_code is limited per customer. Send the customer's e-mail address."]
            )
        _check_limit(
            discount.limit_per_email,
            _uses(session, code, DiscountUse.email == email),
            used=NO_USE_LEFT,
            held=NO_USE_LEFT,
        )
    if discount.limit_total:
        _check_limit(
            discount.limit_total,
            _uses(session, code),
            used="This code has been used as often as allowed. Pay without it.",
            held="Unpaid checkouts hold the last uses of this code. Try again later, or pay without it.",
        )


def _uses(session: Session, code: str, *conditions: Any) -> Mapping[str, int]:
    statement = select(DiscountUse.status, func.count().label("uses")).where(DiscountUse.code == code, *conditions)
    return {row.status: row.uses for row in session.execute(statement.group_by(DiscountUse.status))}


def _check_limit(limit: int, uses: Mapping[str, int], *, used: str, held: str) -> None:
    if uses.get(USED, 0) >= limit:
        raise _invalid(used)
    if uses.get(USED, 0) + uses.get(HELD, 0) >= limit:
        raise _invalid(held)


def _invalid(message: str) -> InvalidCartError:
    return InvalidCartError(discount_code=[message])


def _utc(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
