"""The gateway to Stripe's refunds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import stripe
from events.observability.logging import get_logger

from orders.models.refunds import RefundRequest
from orders.stripe_objects import PAGE_SIZE, StripeObject

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams

log = get_logger(__name__)

REQUEST_ID = "refund_request"  # the key in a refund's metadata


class RefundRefusedError(Exception):
    """Stripe refused the refund and did nothing. The text is Stripe's reason."""


class StripeAwayError(Exception):
    """Stripe did not answer clearly: the refund may exist or not."""


class StripeUnauthorizedError(StripeAwayError):
    """Stripe refused our API key (401, 403) and did nothing: a retry succeeds once an operator has corrected it."""


class RefundGateway:
    """Stripe's refunds. Each method raises `RefundRefusedError`, `StripeAwayError` and `StripeUnauthorizedError`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._refunds, self._sessions = client.v1.refunds, client.v1.checkout.sessions

    def create(self, request: RefundRequest) -> StripeObject:
        """Create and return the request's refund. Stripe keeps the key for 24 hours: a repeat returns the same one."""
        with _translate_errors():
            return self._refunds.create(_params(request), {"idempotency_key": request.id}).to_dict(for_json=True)

    def find(self, request: RefundRequest) -> StripeObject | None:
        """Return the refund that Stripe made for the request at any time, or None."""
        with _translate_errors():
            page = self._refunds.list({"payment_intent": request.payment_id, "limit": PAGE_SIZE})
            for refund in page.auto_paging_iter():
                found: StripeObject = refund.to_dict(for_json=True)
                if (found.get("metadata") or {}).get(REQUEST_ID) == request.id:
                    return found
        return None

    def list_of_payment(self, payment_id: str) -> Sequence[StripeObject]:
        """Return all refunds of a payment."""
        with _translate_errors():
            page = self._refunds.list({"payment_intent": payment_id, "limit": PAGE_SIZE})
            return [refund.to_dict(for_json=True) for refund in page.auto_paging_iter()]

    def line_items(self, session_id: str) -> list[StripeObject]:
        """Return the line items of a Checkout Session with their products, as Stripe charged them."""
        with _translate_errors():
            page = self._sessions.line_items.list(session_id, {"limit": PAGE_SIZE, "expand": ["data.price.product"]})
            return [item.to_dict(for_json=True) for item in page.auto_paging_iter()]


def _params(request: RefundRequest) -> "RefundCreateParams":
    """Return Stripe's parameters from stored values only: under one key Stripe requires the same ones every time."""
    params: RefundCreateParams = {
        "payment_intent": request.payment_id,
        "amount": request.amount,
        "metadata": {
            "checkout_id": request.checkout_id,
            "order_id": request.order_id,
            REQUEST_ID: request.id,
        },
    }
    if request.reason:
        params["reason"] = request.reason
    return params


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise RefundRefusedError(error.user_message or str(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("stripe refused the API key: set STRIPE_API_KEY", http_status=error.http_status, error=str(error))
        raise StripeUnauthorizedError(f"Stripe refused the shop's API key: {error}") from error
    except stripe.StripeError as error:  # also an idempotency key in use: a retry can succeed
        raise StripeAwayError(f"{type(error).__name__}: {error}") from error
