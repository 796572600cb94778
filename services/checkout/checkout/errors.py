"""Errors that a caller of the checkout service can act on. problems.py maps each of them to a problem."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class DomainError(Exception):
    """The base class of the errors in this module."""


class InvalidCartError(DomainError):
    """A cart that cannot be sold as requested; `errors` has the messages by field of the request."""

    def __init__(self, **errors: Any) -> None:
        super().__init__(errors)
        self.errors = errors


class AmountTooSmallError(DomainError):
    """A total below the minimum charge, in minor units.

    `minimum` is None where only Stripe knows it: it depends on the currency of the shop's Stripe account.
    """

    def __init__(self, amount_total: int, currency: str, minimum: int | None = None) -> None:
        super().__init__(amount_total, currency, minimum)
        self.amount_total, self.currency, self.minimum = amount_total, currency, minimum


class AmountTooLargeError(DomainError):
    """The total is above the maximum charge. Amounts are in minor units; `maximum` is None if only Stripe knows it."""

    def __init__(self, amount_total: int, currency: str, maximum: int | None = None) -> None:
        super().__init__(amount_total, currency, maximum)
        self.amount_total, self.currency, self.maximum = amount_total, currency, maximum


class OutOfStockError(DomainError):
    """Too little stock for a cart; `lines` has the sku, the requested and the available quantity of each such line."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(lines)
        self.lines = lines


class KeyReusedError(DomainError):
    """An Idempotency-Key that was used for a different request."""


class CheckoutExpiredError(DomainError):
    """The checkout ended unpaid, its time is over, or its first request was interrupted too long ago to continue."""


class TooManyOpenCheckoutsError(DomainError):
    """Too many unpaid checkouts, or pieces in them, of one client; `kind` is `address` or `email`.

    `checkouts` and `pieces` are what the client has now. `ends_at` is the earliest end of a session among them. It can
    be in the past, because checkouts with a delayed payment count too.
    """

    def __init__(self, kind: str, checkouts: int, pieces: int, ends_at: datetime | None) -> None:
        super().__init__(kind, checkouts, pieces, ends_at)
        self.kind, self.checkouts, self.pieces, self.ends_at = kind, checkouts, pieces, ends_at


class BotCheckFailedError(DomainError):
    """A new checkout without a token that the bot check has confirmed."""


class AlreadyPaidError(DomainError):
    """A checkout that cannot be canceled, because the customer has completed it."""


class CheckoutNotFoundError(DomainError):
    """An id that no checkout has."""


class DiscountNotFoundError(DomainError):
    """A code that no discount has."""


class InventoryAwayError(DomainError):
    """A call to inventory that failed. Inventory may have carried it out; it can be repeated."""


class StripeAwayError(DomainError):
    """A call to Stripe that failed. Stripe may have carried it out; it can be repeated."""


class StripeUnauthorizedError(StripeAwayError):
    """A call that Stripe refused because of the shop's API key (401, 403). Nothing was done.

    A repeat succeeds only after an operator has corrected the key.
    """


class StripeRejectedError(DomainError):
    """A call whose parameters Stripe rejected: nothing was done, and a repeat fails too.

    `code` is Stripe's reason, and `param` the name of the rejected parameter. Either can be None.
    """

    def __init__(self, code: str | None, param: str | None = None) -> None:
        super().__init__(code, param)
        self.code, self.param = code, param
