"""Radar: reviews of payments, which a person closes, and early fraud warnings of the card's bank."""

from .account import AUTOMATIC, Account
from .errors import StripeError
from .objects.radar import early_fraud_warning
from .objects.radar import review as review_object
from .store import Object


def open_review(account: Account, charge: Object, opened_reason: str = "rule") -> Object:
    """Place a payment in review. `opened_reason` is `rule` or `manual`."""
    review = account.store.add(review_object(account.now(), charge, opened_reason))
    account.emit("review.opened", review, cause=AUTOMATIC)
    return review


def close_review(account: Account, charge: Object, closed_reason: str = "approved") -> Object:
    """Close the open review of a payment. Raise `StripeError` if it has none."""
    for review in account.store.all("review"):
        if review["charge"] == charge["id"] and review["open"]:
            review |= {"open": False, "closed_reason": closed_reason, "reason": closed_reason}
            account.emit("review.closed", review, {"open": True, "closed_reason": None}, AUTOMATIC)
            return review
    raise StripeError(f"The charge {charge['id']} has no open review.", param="charge")


def warn(account: Account, charge: Object, fraud_type: str = "made_with_stolen_card") -> Object:
    """Create an early fraud warning of the card's bank about a charge, and emit its event."""
    warning = account.store.add(early_fraud_warning(account.now(), charge, fraud_type))
    account.emit("radar.early_fraud_warning.created", warning, cause=AUTOMATIC)
    return warning
