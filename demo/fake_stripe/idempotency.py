"""Idempotency keys: the first answer is kept and replayed, another request under the same key is refused."""

import threading
from dataclasses import dataclass
from itertools import takewhile

from .errors import StripeError

KEPT = 24 * 3600  # seconds; Stripe may forget a key after that


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class IdempotencyKeys:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[str, object] = {}  # key -> what was asked for
        self._kept_at: dict[str, float] = {}  # oldest first
        self._answers: dict[str, Answer] = {}

    def claim(self, key: str, request: object, now: float) -> Answer | None:
        """The kept answer to replay, or None: the caller answers now, and then calls `keep` or `release`."""
        if len(key) > 255:
            raise StripeError("Idempotency keys have at most 255 characters", type_="idempotency_error")
        with self._lock:
            self._prune(now)
            if key not in self._requests:
                self._requests[key] = request
                return None
            if self._requests[key] != request:
                raise _other_request(key)
            if key not in self._answers:
                raise _in_use(key)
            return self._answers[key]

    def keep(self, key: str, answer: Answer, now: float) -> None:
        with self._lock:
            self._answers[key], self._kept_at[key] = answer, now

    def release(self, key: str) -> None:
        with self._lock:
            del self._requests[key]

    def _prune(self, now: float) -> None:
        expired = list(takewhile(lambda key: self._kept_at[key] + KEPT < now, self._kept_at))
        for key in expired:
            del self._requests[key], self._answers[key], self._kept_at[key]


def _other_request(key: str) -> StripeError:
    return StripeError(
        f"The idempotency key '{key}' was first used with other parameters or for another call; use a new key.",
        type_="idempotency_error",
    )


def _in_use(key: str) -> StripeError:
    return StripeError(
        f"Another request with the idempotency key '{key}' is still in progress.",
        status=409,
        type_="idempotency_error",
        code="idempotency_key_in_use",
    )
