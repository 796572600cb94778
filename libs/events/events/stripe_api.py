"""Clients for Stripe's API, with timeouts, retries and a count of Stripe's answers.

It needs the package `stripe`, an extra of this library. `StripeClient` ignores the module's settings, and its defaults
are no retries and a timeout of 80 s, so everything is set here.
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import stripe
from prometheus_client import Counter

from events.config import setting, validate_url

API = "https://api.stripe.com"
TIMEOUT_S = 10  # per attempt; Stripe's slow answers take about five, and a customer may be waiting
MAX_RETRIES = 2  # by the SDK, for lost connections, timeouts, 409 and 5xx
ID = re.compile(r"(?<=/)[a-z]+_(?=\w*[A-Z0-9])\w+")

CALLS = Counter("clozit_stripe_calls_total", "Attempts to call Stripe's API by outcome", ["operation", "outcome"])


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


@contextmanager
def closing_client(api_key: str, api_base: str) -> Iterator[stripe.StripeClient]:
    """Provide a client for a command, and close its connections afterwards."""
    with closing(CountingClient()) as http_client:
        yield client(api_key, api_base, http_client=http_client)
