"""Clients of Stripe's API, made alike in every service that calls it, and a count of what Stripe answered.

Wants the package `stripe`, which is why nothing else here imports this. `StripeClient` ignores the module's own
settings and comes with no retries and 80 s of patience: everything is said at its making.
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import stripe
from prometheus_client import Counter

API = "https://api.stripe.com"
TIMEOUT = 10  # seconds a try; Stripe's slow answers come in about five, and somebody may be waiting
RETRIES = 2  # by the SDK: lost connections, timeouts, 409 and 5xx
ID = re.compile(r"(?<=/)[a-z]+_(?=\w*[A-Z0-9])\w+")

CALLS = Counter("clozit_stripe_calls_total", "Tries to call Stripe's API, by what came of it", ["operation", "outcome"])


class CountingClient(stripe.RequestsClient):
    """Counts each try: ok, unauthorized (our key), refused (4xx), failed (5xx) or no-answer."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        operation = f"{method.upper()} {ID.sub('{id}', urlsplit(url).path)}"
        try:
            answer = super().request(method, url, *args, **kwargs)
        except stripe.APIConnectionError:
            CALLS.labels(operation, "no-answer").inc()
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
    """For a process that lives long."""
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base},
        max_network_retries=RETRIES if retries is None else retries,
        http_client=http_client or CountingClient(),
    )


@contextmanager
def closing_client(api_key: str, api_base: str) -> Iterator[stripe.StripeClient]:
    """For a command: it lets go of its connections in the end."""
    with closing(CountingClient()) as http_client:
        yield client(api_key, api_base, http_client=http_client)
