"""Signed posts with numbered bodies. This module imports little, because the load generator's process imports it."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

DIGITS = 9
PLACEHOLDER = b"NUMBER-9-"  # as long as the number that replaces it


def numbered(template: bytes, number: int) -> bytes:
    """Return the template with the number in place of each placeholder."""
    return template.replace(PLACEHOLDER, b"%0*d" % (DIGITS, number))


@dataclass(frozen=True)
class Posts:
    """`count` signed HTTP requests: all bodies of one purchase, then of the next. The numbers start at `first`."""

    templates: Sequence[bytes]
    secret: str
    first: int
    count: int

    def requests(self) -> list[bytes]:
        """Return the bytes of all requests, signed now."""
        signed_at = int(time.time())
        return [self._request(position, signed_at) for position in range(self.count)]

    def _request(self, position: int, signed_at: int) -> bytes:
        purchase, event = divmod(position, len(self.templates))
        body = numbered(self.templates[event], self.first + purchase)
        digest = hmac.new(self.secret.encode(), b"%d." % signed_at + body, hashlib.sha256).hexdigest()
        return (
            f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Stripe/1.0\r\n"
            f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            f"Stripe-Signature: t={signed_at},v1={digest}\r\n\r\n"
        ).encode() + body
