"""Asking Stripe for refunds. Answers are Stripe's refunds as plain JSON values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import stripe

from orders.models import RefundIntention
from orders.stripe_client import PAGE, Object

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

INTENTION = "refund_request"  # in a refund's metadata


class RefundRefused(Exception):  # noqa: N818 - an outcome
    """Stripe will not make this refund, in its own words; nothing was done."""


class StripeAway(Exception):  # noqa: N818 - an outcome
    """Whether Stripe has made the refund cannot be known now."""


class StripeRefunds:
    """Everything raises `RefundRefused` or `StripeAway`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._refunds = client.v1.refunds

    def create(self, intention: RefundIntention) -> Object:
        """The refund of this intention: a repeat answers with the same one, as long as Stripe keeps the key (24 h)."""
        with _translated():
            return self._refunds.create(_params(intention), {"idempotency_key": intention.id}).to_dict(for_json=True)

    def find(self, intention: RefundIntention) -> Object | None:
        """The refund that was made of this intention, also long ago."""
        with _translated():
            page = self._refunds.list({"payment_intent": intention.payment_id, "limit": PAGE})
            for refund in page.auto_paging_iter():
                found: Object = refund.to_dict(for_json=True)
                if (found.get("metadata") or {}).get(INTENTION) == intention.id:
                    return found
        return None


def _params(intention: RefundIntention) -> "RefundCreateParams":
    """Made from the stored intention alone: under one key Stripe wants the same words every time."""
    params: RefundCreateParams = {
        "payment_intent": intention.payment_id,
        "amount": intention.amount,
        "metadata": {
            "checkout_id": intention.checkout_id,
            "order_id": intention.order_id,
            INTENTION: intention.id,
        },
    }
    if intention.reason:
        params["reason"] = intention.reason
    return params


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise RefundRefused(error.user_message or str(error)) from error
    except (
        stripe.StripeError
    ) as error:  # also a bad key, or one of ours that is in use: an operator's or time's to mend
        raise StripeAway(f"{type(error).__name__}: {error}") from error
