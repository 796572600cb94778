"""Clients for Stripe's API, with timeouts, retries and a count of Stripe's answers.

It needs the package `stripe`, an extra of this library. `StripeClient` ignores the module's settings, and its defaults
are no retries and a timeout of 80 s, so everything is set here.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import stripe
from prometheus_client import Counter

from events.config import setting, validate_url
from events.observability.logging import get_logger

API = "https://api.stripe.com"
TIMEOUT_S = 10  # per attempt; Stripe's slow answers take about five, and a customer may be waiting
MAX_RETRIES = 2  # by the SDK, for lost connections, timeouts, 409 and 5xx
MISSING = "resource_missing"  # Stripe's error code for an unknown id
ID = re.compile(r"(?<=/)[a-z]+_(?=\w*[A-Z0-9])\w+")

CALLS = Counter("clozit_stripe_calls_total", "Attempts to call Stripe's API by outcome", ["operation", "outcome"])

log = get_logger(__name__)


class CountingClient(stripe.RequestsClient):
    """Counts each attempt: ok, unauthorized (our key), refused (4xx), failed (5xx) or unreachable."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT_S)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one attempt and count its outcome under its operation, a path without ids."""
        operation = f"{method.upper()} {ID.sub('{id}', urlsplit(url).path)}"
        try:
            answer = super().request(method, url, *args, **kwargs)
        except stripe.APIConnectionError:
            CALLS.labels(operation, "unreachable").inc()
            raise
        CALLS.labels(operation, _outcome(answer[1])).inc()
        return answer


def _outcome(status: int) -> str:
    if status in (401, 403):
        return "unauthorized"
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def client(
    api_key: str, api_base: str, *, retries: int | None = None, http_client: stripe.HTTPClient | None = None
) -> stripe.StripeClient:
    """Return a client for a long-lived process. `retries` overrides the number of retries."""
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base},
        max_network_retries=MAX_RETRIES if retries is None else retries,
        http_client=http_client or CountingClient(),
    )


def api_base_setting() -> Any:
    """Declare the setting STRIPE_API_BASE."""
    return setting(
        "STRIPE_API_BASE",
        "The base URL of Stripe's API. Set it to use the fake Stripe.",
        default=API,
        checks=[validate_url],
    )


class Failure(StrEnum):
    """The meanings of Stripe's errors for a caller."""

    REJECTED = "rejected"  # the parameters: nothing was done, and a repeat fails too
    UNAUTHORIZED = "unauthorized"  # our key: nothing was done, and a repeat fails until an operator corrects it
    AWAY = "away"  # Stripe may have carried the call out, and it can be repeated


def failure_of(error: stripe.StripeError) -> Failure:
    """Return what an error of Stripe's means."""
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError):
        return Failure.REJECTED
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Failure.UNAUTHORIZED
    return Failure.AWAY  # also an idempotency key that is in use


def log_failure(action: str, about: str, error: stripe.StripeError) -> None:
    """Log a failed call: `action`, the id that it is about, and Stripe's request id. An error only if we must act."""
    is_ours = failure_of(error) == Failure.UNAUTHORIZED
    answered = "stripe answered with an error" if error.http_status else "stripe is unreachable"
    log.log(
        logging.ERROR if is_ours else logging.WARNING,
        "stripe refused the API key: set STRIPE_API_KEY" if is_ours else answered,
        action=action,
        about=about,
        request_id=error.request_id,
        http_status=error.http_status,
        code=error.code,
        param=getattr(error, "param", None),
        error=type(error).__name__,
    )


@contextmanager
def closing_client(api_key: str, api_base: str) -> Iterator[stripe.StripeClient]:
    """Provide a client for a command, and close its connections afterwards."""
    with closing(CountingClient()) as http_client:
        yield client(api_key, api_base, http_client=http_client)
