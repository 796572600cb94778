"""The optional bot check: the shop's page gets a token for a solved challenge, and the provider confirms the token.

Cloudflare Turnstile, hCaptcha and reCAPTCHA have the same protocol: a form with `secret` and `response`, answered by
JSON with `success`.
"""

import httpx
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter

from checkout.errors import BotCheckFailedError
from checkout.limits import BOT, REFUSED_CHECKOUTS

TIMEOUT_S = 3  # the customer is waiting
SECRET_REFUSED = {"missing-input-secret", "invalid-input-secret"}  # the error codes of siteverify that are our fault

CHECKS = Counter("clozit_bot_checks_total", "Bot checks of checkouts by outcome", ["outcome"])
from_zero(CHECKS, ["passed", "refused", "unreachable"])

log = get_logger(__name__)


class BotCheck:
    """The client of the bot check's provider.

    A checkout passes if the provider gives no usable answer or refuses the shop's secret. The limits of limits.py still
    apply then.
    """

    def __init__(self, url: str, secret: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url, self._secret = url, secret
        self._http = httpx.Client(timeout=TIMEOUT_S, transport=transport)

    def __bool__(self) -> bool:
        """Return True if the shop has a bot check, that is if BOT_CHECK_URL is set."""
        return bool(self._url)

    def verify(self, token: str | None) -> None:
        """Raise `BotCheckFailedError` without a token, or if the provider refuses the token. Count the outcome."""
        if token and (outcome := self._ask(token)) != "refused":
            CHECKS.labels(outcome).inc()
            return
        CHECKS.labels("refused").inc()
        REFUSED_CHECKOUTS.labels(BOT).inc()
        raise BotCheckFailedError

    def _ask(self, token: str) -> str:
        try:
            answer = self._http.post(self._url, data={"secret": self._secret, "response": token})
            answer.raise_for_status()
            verdict = answer.json()
            passed = verdict["success"] is True
            is_our_fault = not passed and bool(SECRET_REFUSED & set(verdict.get("error-codes", ())))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.error("the bot check's provider gave no usable answer, the checkout passes", error=repr(error))
            return "unreachable"
        if is_our_fault:
            log.error("the bot check's provider refuses BOT_CHECK_SECRET, the checkout passes")
            return "unreachable"
        return "passed" if passed else "refused"
