"""Discount codes: what one takes off a cart, who may use it, and how often it has been used.

A use is held with the checkout that asks for it, counts once that is paid, and is given back when it ends unpaid.
Money that comes after all counts again: a payment is never refused for a limit.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.database.transaction import for_update, insert_once
from events.money import percentage, to_decimal
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from checkout.models import ENDED, FAILED, HELD, PAID, RELEASED, USED, Checkout, Discount, DiscountUse
from checkout.problems import Invalid


def amount_off(session: Session, code: str, subtotal: int, currency: str, now: datetime) -> int:
    """What the code takes off the goods. Raises `Invalid` where it does not apply to them, or not now."""
    discount = session.get(Discount, code)
    if discount is None or not discount.active:
        raise _invalid("Not valid. Correct it, or pay without it.")
    if discount.starts_at and now < discount.starts_at:
        raise _invalid(f"Not valid before {_time(discount.starts_at)}.")
    if discount.ends_at and now >= discount.ends_at:
        raise _invalid(f"Was valid until {_time(discount.ends_at)}. Pay without it.")
    prices = [prices for prices in (discount.amounts_off, discount.minimums) if prices]
    if any(currency not in by_currency for by_currency in prices):
        raise _invalid(f"Not valid in {currency}. Pay in another currency, or without it.")
    minimum = discount.minimums.get(currency, 0)
    if subtotal < minimum:
        written = f"{to_decimal(minimum, currency)} {currency.upper()}"
        raise _invalid(f"Valid for goods of {written} or more. Add to the cart, or pay without it.")
    if discount.percent_off is not None:
        return percentage(subtotal, discount.percent_off, currency)
    return min(subtotal, (discount.amounts_off or {})[currency])


def hold(session: Session, checkout: Checkout) -> None:
    """Take one use for this checkout, if it has a discount. Raises `Invalid` when none is left; roll back then."""
    if checkout.discount_code is None:
        return
    discount = session.get_one(Discount, checkout.discount_code)
    email = normal_email(checkout.customer_email)
    if discount.limit_total or discount.limit_per_email:
        _check_limits(session, checkout.discount_code, email)
    session.add(DiscountUse(checkout_id=checkout.id, code=discount.code, email=email, status=HELD))


def follow(session: Session, checkout: Checkout) -> None:
    """Let the use be what the checkout has become. The checkout must be locked."""
    if checkout.discount_code is None:
        return
    status = _status(checkout)
    email = normal_email(checkout.customer_email)
    key = {"checkout_id": checkout.id}
    if not insert_once(session, DiscountUse, **key, code=checkout.discount_code, email=email, status=status):
        session.execute(update(DiscountUse).filter_by(**key).values(status=status))


def forget_customer(session: Session, checkout: Checkout) -> None:
    """Erase her from the checkout and its use. That counts on, but no longer towards a limit for each customer."""
    checkout.forget_customer()
    session.execute(update(DiscountUse).filter_by(checkout_id=checkout.id).values(email=None))


def counts(session: Session, codes: list[str]) -> dict[str, dict[str, int]]:
    """How often each code has been used, and is held by checkouts that may still be paid."""
    statement = (
        select(DiscountUse.code, DiscountUse.status, func.count())
        .where(DiscountUse.code.in_(codes), DiscountUse.status != RELEASED)
        .group_by(DiscountUse.code, DiscountUse.status)
    )
    found = {code: {USED: 0, HELD: 0} for code in codes}
    for code, status, count in session.execute(statement):
        found[code][status] = count
    return found


def normal_email(email: str | None) -> str | None:
    """Zoe@Example.com is zoe@example.com: the same customer."""
    return email.strip().casefold() if email else None


def _status(checkout: Checkout) -> str:
    if checkout.payment == PAID:
        return USED
    return RELEASED if checkout.payment == FAILED or checkout.status in ENDED else HELD


def _check_limits(session: Session, code: str, email: str | None) -> None:
    """The discount's row is locked first: whoever else wants a use waits, and then counts ours."""
    statement = select(Discount).where(Discount.code == code).execution_options(populate_existing=True)
    discount = session.scalars(for_update(session, statement)).one()
    if discount.limit_per_email:
        if email is None:
            raise Invalid({"customer_email": ["Needed for this discount_code, which each customer has a number of."]})
        _refuse_beyond(
            discount.limit_per_email,
            _uses(session, code, DiscountUse.email == email),
            used="You have used it as often as one customer may. Pay without it.",
            held="A checkout of yours that is still open has it. Cancel that one, or pay without it.",
        )
    if discount.limit_total:
        _refuse_beyond(
            discount.limit_total,
            _uses(session, code),
            used="It has been used as often as it may be. Pay without it.",
            held="Others who are paying right now have the last of it. Try again later, or pay without it.",
        )


def _uses(session: Session, code: str, *which: Any) -> Mapping[str, int]:
    statement = select(DiscountUse.status, func.count().label("uses")).where(DiscountUse.code == code, *which)
    return {row.status: row.uses for row in session.execute(statement.group_by(DiscountUse.status))}


def _refuse_beyond(limit: int, uses: Mapping[str, int], *, used: str, held: str) -> None:
    if uses.get(USED, 0) >= limit:
        raise _invalid(used)
    if uses.get(USED, 0) + uses.get(HELD, 0) >= limit:
        raise _invalid(held)


def _invalid(message: str) -> Invalid:
    return Invalid({"discount_code": [message]})


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
