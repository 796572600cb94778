"""Reads and locks checkouts."""

from events.database import transaction
from sqlalchemy.orm import Session

from checkout.errors import CheckoutNotFoundError
from checkout.models import Checkout


def get_checkout(session: Session, checkout_id: str) -> Checkout:
    """Return a checkout. Raises `CheckoutNotFoundError`."""
    return _known(session.get(Checkout, checkout_id))


def lock_checkout(session: Session, checkout_id: str) -> Checkout:
    """Lock a checkout until the transaction ends and return it. Raises `CheckoutNotFoundError`."""
    return _known(lock_checkout_if_known(session, checkout_id))


def lock_checkout_if_known(session: Session, checkout_id: str) -> Checkout | None:
    """Lock a checkout until the transaction ends and return it; return None if no checkout has this id."""
    return transaction.lock_rows(session, Checkout, [checkout_id]).get(checkout_id)


def _known(checkout: Checkout | None) -> Checkout:
    if checkout is None:
        raise CheckoutNotFoundError
    return checkout
