"""Erasure of a customer from a checkout and from its use of a discount."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from checkout.models import Checkout, DiscountUse


def erase_customer(session: Session, checkout: Checkout) -> None:
    """Erase the customer from the checkout and from its discount use.

    The use still counts for the discount's `limit_total`, but no longer for `limit_per_email`.
    """
    checkout.erase_customer()
    session.execute(update(DiscountUse).filter_by(checkout_id=checkout.id).values(email=None))
