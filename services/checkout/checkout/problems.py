"""What goes wrong at checkout, in the words that the shop's frontend gets to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from events.money import to_decimal
from events.web.problems import Problem

RETRY_AFTER = {"Retry-After": "5"}  # seconds; most outages of a neighbour are a restart


class Invalid(Problem):
    """A request that cannot be taken as it is; `errors` says what is wrong by field."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__(422, "invalid-request", "Some fields need to be corrected.", errors=errors)


class AmountTooSmall(Problem):
    """`minimum` is null where only Stripe knows it: it depends on the currency of the shop's account."""

    def __init__(self, amount_total: int, currency: str, minimum: int | None = None) -> None:
        least = f" Less than {_written(minimum, currency)}" if minimum else " So little"
        super().__init__(
            422,
            "amount-too-small",
            f"The cart comes to {_written(amount_total, currency)}.{least} cannot be charged. Add to the cart.",
            amount_total=amount_total,
            currency=currency,
            minimum=minimum,
        )


class AmountTooLarge(Problem):
    def __init__(self, amount_total: int, currency: str, maximum: int) -> None:
        super().__init__(
            422,
            "amount-too-large",
            f"The cart comes to {_written(amount_total, currency)}. At most {_written(maximum, currency)} can be"
            " charged at once. Divide the cart.",
            amount_total=amount_total,
            currency=currency,
            maximum=maximum,
        )


class OutOfStock(Problem):
    """`lines` tells of each short sku what was asked for and what there is."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(
            409, "out-of-stock", "Some items are not available in that quantity. Change the cart.", lines=lines
        )


class CheckoutExpired(Problem):
    def __init__(self) -> None:
        super().__init__(
            409, "checkout-expired", "This checkout has ended. Start another one, with a new Idempotency-Key."
        )


class AlreadyPaid(Problem):
    def __init__(self) -> None:
        super().__init__(409, "already-paid", "The customer has finished this checkout; it cannot be canceled.")


class DiscountNotFound(Problem):
    def __init__(self) -> None:
        super().__init__(404, "discount-not-found", "There is no discount with this code.")


class CheckoutNotFound(Problem):
    def __init__(self) -> None:
        super().__init__(404, "checkout-not-found", "There is no checkout with this id.")


class InventoryUnavailable(Problem):
    def __init__(self) -> None:
        super().__init__(
            503, "inventory-unavailable", "The stock cannot be reserved now. Repeat the request.", headers=RETRY_AFTER
        )


class StripeUnavailable(Problem):
    def __init__(self) -> None:
        super().__init__(
            503,
            "stripe-unavailable",
            "The payment provider does not answer now. Repeat the request.",
            headers=RETRY_AFTER,
        )


class StripeRejected(Problem):
    """Stripe refused our parameters: repeating them changes nothing. `code` is Stripe's word for the reason."""

    def __init__(self, code: str | None) -> None:
        super().__init__(502, "stripe-rejected", "The payment provider refused this checkout.")
        self.code = code


def _written(amount: int, currency: str) -> str:
    return f"{to_decimal(amount, currency)} {currency.upper()}"
