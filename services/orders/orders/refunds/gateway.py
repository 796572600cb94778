"""The gateway to Stripe's refunds, and to the line items of its sessions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import stripe
from events import stripe_api
from events.stripe_api import Failure

from orders.models.refunds import RefundRequest
from orders.stripe_objects import PAGE_SIZE, StripeObject, read_answer

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

REQUEST_ID_KEY = "refund_request"  # the key in a refund's metadata


class RefundRefusedError(Exception):
    """Stripe refused the call and did nothing. The text is Stripe's reason."""


class StripeAwayError(Exception):
    """Stripe did not answer clearly: a requested refund may or may not exist."""


class StripeUnauthorizedError(StripeAwayError):
    """Stripe refused our API key and did nothing. A repeat can succeed once an operator has corrected the key."""


class RefundGateway:
    """The calls to Stripe about refunds and line items.

    Each method can raise `RefundRefusedError`, `StripeAwayError` and `StripeUnauthorizedError`.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._refunds, self._sessions = client.v1.refunds, client.v1.checkout.sessions

    def create(self, request: RefundRequest) -> StripeObject:
        """Create and return the request's refund. For 24 hours, a repeat returns the same refund."""
        with _raising_gateway_errors("create refund", request.id):
            return read_answer(self._refunds.create(_params(request), {"idempotency_key": request.id}))

    def find(self, request: RefundRequest) -> StripeObject | None:
        """Return the refund that Stripe made for the request at any time, or None."""
        with _raising_gateway_errors("list refunds", request.payment_id):
            page = self._refunds.list({"payment_intent": request.payment_id, "limit": PAGE_SIZE})
            for refund in page.auto_paging_iter():
                found = read_answer(refund)
                if (found.get("metadata") or {}).get(REQUEST_ID_KEY) == request.id:
                    return found
        return None

    def list_of_payment(self, payment_id: str) -> Sequence[StripeObject]:
        """Return all refunds of a payment."""
        with _raising_gateway_errors("list refunds", payment_id):
            page = self._refunds.list({"payment_intent": payment_id, "limit": PAGE_SIZE})
            return [read_answer(refund) for refund in page.auto_paging_iter()]

    def line_items(self, session_id: str) -> list[StripeObject]:
        """Return the line items of a Checkout Session with their products, as Stripe charged them."""
        with _raising_gateway_errors("list line items", session_id):
            page = self._sessions.line_items.list(session_id, {"limit": PAGE_SIZE, "expand": ["data.price.product"]})
            return [item.to_dict(for_json=True) for item in page.auto_paging_iter()]


def _params(request: RefundRequest) -> "RefundCreateParams":
    """Return the parameters of a new refund, from stored values only.

    For a repeat under the same idempotency key, Stripe requires the same parameters.
    """
    params: RefundCreateParams = {
        "payment_intent": request.payment_id,
        "amount": request.amount,
        "metadata": {
            "checkout_id": request.checkout_id,
            "order_id": request.order_id,
            REQUEST_ID_KEY: request.id,
        },
    }
    if request.reason:
        params["reason"] = request.reason
    return params


@contextmanager
def _raising_gateway_errors(action: str, about: str) -> Iterator[None]:
    try:
        yield
    except stripe.StripeError as error:
        stripe_api.log_failure(action, about, error)
        match stripe_api.failure_of(error):
            case Failure.REJECTED:
                raise RefundRefusedError(error.user_message or str(error)) from error
            case Failure.UNAUTHORIZED:
                raise StripeUnauthorizedError(f"Stripe refused the shop's API key: {error}") from error
            case Failure.AWAY:
                raise StripeAwayError(f"{type(error).__name__}: {error}") from error
