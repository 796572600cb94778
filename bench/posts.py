"""Signed posts, each of its own number. Imports little: the load generator's process starts with it."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

DIGITS = 9
MARK = b"NUMBER-9-"  # as long as the number that takes its place


def numbered(template: bytes, number: int) -> bytes:
    return template.replace(MARK, b"%0*d" % (DIGITS, number))


@dataclass(frozen=True)
class Posts:
    """Signed HTTP requests: all bodies of a purchase, then the next purchase's, `first` being the first number."""

    templates: Sequence[bytes]
    secret: str
    first: int
    count: int

    def requests(self) -> list[bytes]:
        at = int(time.time())
        return [self._request(i, at) for i in range(self.count)]

    def _request(self, i: int, at: int) -> bytes:
        purchase, which = divmod(i, len(self.templates))
        body = numbered(self.templates[which], self.first + purchase)
        digest = hmac.new(self.secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
        return (
            f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Stripe/1.0\r\n"
            f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            f"Stripe-Signature: t={at},v1={digest}\r\n\r\n"
        ).encode() + body
