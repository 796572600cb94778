"""Clients for Stripe's API, with timeouts, retries, a limit of concurrent calls, and a count of Stripe's answers.

The package `stripe` is an extra of this library. `StripeClient` ignores the settings of the module `stripe`. By
default it does not retry, and its timeout is 80 s. So this module sets retries and timeout for each client.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import stripe
from prometheus_client import Counter

from events.config import setting, validate_url
from events.database.storable import without_unstorable
from events.errors import ConfigError
from events.observability.logging import get_logger

API = "https://api.stripe.com"
TIMEOUT_S = 10  # per attempt; Stripe's slow answers take about five, and a customer may be waiting
MAX_RETRIES = 2  # by the SDK, for lost connections, timeouts, 409 and 5xx
RESOURCE_MISSING = "resource_missing"  # Stripe's error code for an unknown id
MAX_CONCURRENT_CALLS = 16  # by a process, half of a web server's threads: a hanging Stripe leaves the others free
KEY_MODE = re.compile(r"(?:sk|rk)(?:_org)?_(live|test)_")  # secret, restricted and organization keys
LIVEMODES = {"true": True, "false": False, "": None}
ID = re.compile(r"(?<=/)[a-z]+_(?=\w*[A-Z0-9])\w+")

CALLS = Counter("clozit_stripe_calls_total", "Attempts to call Stripe's API by outcome", ["operation", "outcome"])

log = get_logger(__name__)


class CountingClient(stripe.RequestsClient):
    """An HTTP client for Stripe's SDK that counts each attempt by its outcome.

    The outcomes are ok, unauthorized (401, 403), refused (other 4xx), failed (5xx) and unreachable. A call beyond
    `MAX_CONCURRENT_CALLS` is not sent. It raises `APIConnectionError` and counts as rejected.
    """

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT_S)
        self._free = threading.BoundedSemaphore(MAX_CONCURRENT_CALLS)

    def request_with_retries(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call with all of its attempts. Raises `APIConnectionError` if too many calls are in flight."""
        if not self._free.acquire(blocking=False):
            CALLS.labels(_operation(method, url), "rejected").inc()
            raise stripe.APIConnectionError(
                "Too many calls to Stripe are unanswered. This one was not sent.", should_retry=False
            )
        try:
            return super().request_with_retries(method, url, *args, **kwargs)
        finally:
            self._free.release()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one attempt and count its outcome by operation: the method and the path without ids.

        The returned answer has no text that the databases cannot store.
        """
        operation = _operation(method, url)
        try:
            answer = super().request(method, url, *args, **kwargs)
        except stripe.APIConnectionError:
            CALLS.labels(operation, "unreachable").inc()
            raise
        content, status, *rest = answer
        CALLS.labels(operation, _outcome(status)).inc()
        return (without_unstorable(content), status, *rest)


def _operation(method: str, url: str) -> str:
    return f"{method.upper()} {ID.sub('{id}', urlsplit(url).path)}"


def _outcome(status: int) -> str:
    if status in (401, 403):
        return "unauthorized"
    return "ok" if status < 400 else "refused" if status < 500 else "failed"


def client(
    api_key: str, api_base: str, *, retries: int | None = None, http_client: stripe.HTTPClient | None = None
) -> stripe.StripeClient:
    """Return a client for a long-lived process. `retries` replaces `MAX_RETRIES`."""
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


def livemode_setting() -> Any:
    """Declare the setting LIVEMODE."""
    return setting(
        "LIVEMODE",
        "`true` for Stripe's live mode, `false` for test mode. A key of the other mode is refused at start, and so are"
        " events of the other mode.",
    )


def key_mode_setting() -> Any:
    """Declare the setting LIVEMODE of a service that needs it only to check its key."""
    return setting(
        "LIVEMODE",
        "`true` or `false`: a key of Stripe's other mode is refused at start. Without it, any key is accepted.",
        default="",
        parse=_parse_livemode,
    )


def _parse_livemode(text: str) -> bool | None:
    if text not in LIVEMODES:
        raise ValueError("Not true or false.")
    return LIVEMODES[text]


def check_key_mode(key: str, *, livemode: bool | None) -> None:
    """Raise `ConfigError` if the key is of Stripe's other mode: its payments would be refused, or not be real.

    A key whose prefix names no mode is accepted, and every key if `livemode` is None.
    """
    mode = KEY_MODE.match(key)
    if livemode is not None and mode and (mode[1] == "live") != livemode:
        wanted = f"LIVEMODE={str(livemode).lower()}"
        raise ConfigError(
            {
                "LIVEMODE": [f"STRIPE_API_KEY is a {mode[1]} key, which {wanted} excludes. Change one of the two."],
                "STRIPE_API_KEY": [f"This {mode[1]} key does not fit {wanted}. Use a key of the same mode."],
            }
        )


class Failure(StrEnum):
    """Kinds of Stripe's errors. Only after AWAY, Stripe may have carried out the call."""

    REJECTED = "rejected"  # the parameters: nothing was done, and a repeat fails too
    UNAUTHORIZED = "unauthorized"  # our key: nothing was done, and a repeat fails until an operator corrects it
    AWAY = "away"  # Stripe may have carried the call out, and it can be repeated


def failure_of(error: stripe.StripeError) -> Failure:
    """Return the kind of an error: REJECTED for parameters or a card, UNAUTHORIZED for our key, AWAY for any other."""
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError):
        return Failure.REJECTED
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Failure.UNAUTHORIZED
    return Failure.AWAY  # also an idempotency key that is in use


def log_failure(action: str, about: str | None, error: stripe.StripeError) -> None:
    """Log a failed call with the caller's `action` and, in `about`, the id of the object that it concerns, if any.

    A refused API key is logged as an error, any other failure as a warning.
    """
    is_ours = failure_of(error) == Failure.UNAUTHORIZED
    answered = "stripe answered a call with an error" if error.http_status else "a call to stripe got no answer"
    log.log(
        logging.ERROR if is_ours else logging.WARNING,
        "stripe refused the API key: set STRIPE_API_KEY to a valid key with the needed rights" if is_ours else answered,
        action=action,
        **({"about": about} if about else {}),
        request_id=error.request_id,
        http_status=error.http_status,
        code=error.code,
        param=getattr(error, "param", None),
        error=type(error).__name__,
    )


def report_failure(command: str, error: stripe.StripeError) -> str:
    """Log the failed call of a command, and return sentences about it for the operator who runs the command."""
    log_failure(command, None, error)
    if failure_of(error) == Failure.UNAUTHORIZED:
        return f"Stripe refused the API key ({error}). Set STRIPE_API_KEY to a valid key that has the needed rights."
    return f"Stripe did not answer as expected ({type(error).__name__}: {error})."


@contextmanager
def closing_client(api_key: str, api_base: str) -> Iterator[stripe.StripeClient]:
    """Provide a client for a command, and close its connections afterwards."""
    with closing(CountingClient()) as http_client:
        yield client(api_key, api_base, http_client=http_client)
