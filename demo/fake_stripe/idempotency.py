"""Idempotency keys. The first answer is stored and replayed; a different request with the same key is refused."""

import threading
from dataclasses import dataclass
from itertools import takewhile

from .errors import StripeError

Key = tuple[str, str]  # the API key, and the idempotency key of its calls
MAX_LENGTH = 255  # characters of an idempotency key
RETENTION_S = 24 * 3600  # Stripe may remove a key after one day


@dataclass(frozen=True)
class Answer:
    """An answer of the API: status and body."""

    status: int
    body: bytes


class IdempotencyKeys:
    """The idempotency keys in use, with their requests and answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[Key, object] = {}  # by key
        self._kept_at: dict[Key, float] = {}  # by key, oldest first
        self._answers: dict[Key, Answer] = {}

    def claim(self, key: Key, request: object, now: float) -> Answer | None:
        """Return the stored answer to replay. Return None for a new key; then call `keep` or `release`.

        Raise `StripeError` if the key is too long, in use, or belongs to a different request of the same API key.
        """
        if len(key[1]) > MAX_LENGTH:
            raise StripeError(f"Idempotency keys have at most {MAX_LENGTH} characters", type_="idempotency_error")
        with self._lock:
            self._prune(now - RETENTION_S)
            if key not in self._requests:
                self._requests[key] = request
                return None
            if self._requests[key] != request:
                raise _other_request(key[1])
            if key not in self._answers:
                raise _in_use(key[1])
            return self._answers[key]

    def keep(self, key: Key, answer: Answer, now: float) -> None:
        """Store the answer to a claimed key, for replays within `RETENTION_S`."""
        with self._lock:
            self._answers[key], self._kept_at[key] = answer, now

    def release(self, key: Key) -> None:
        """Remove a claimed key without an answer, so that it can be used again."""
        with self._lock:
            del self._requests[key]

    def forget(self, before: float) -> None:
        """Remove the keys whose answers were stored before this Unix time."""
        with self._lock:
            self._prune(before)

    def _prune(self, before: float) -> None:
        expired = list(takewhile(lambda key: self._kept_at[key] < before, self._kept_at))
        for key in expired:
            del self._requests[key], self._answers[key], self._kept_at[key]


def _other_request(key: str) -> StripeError:
    return StripeError(
        f"The idempotency key '{key}' was used with other parameters or for another call. Use a new key.",
        type_="idempotency_error",
    )


def _in_use(key: str) -> StripeError:
    return StripeError(
        f"Another request with the idempotency key '{key}' is still in progress. Try again later.",
        status=409,
        type_="idempotency_error",
        code="idempotency_key_in_use",
    )
