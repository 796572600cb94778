"""Unsubscribing from promotional e-mails: keyed hashes of addresses, signed links, and the unsubscribed addresses.

The list has keyed hashes and no addresses. So it is of no use to a person who copies it without the secret, and it
outlives the erasure of a customer: they stay unsubscribed. With a new UNSUBSCRIBE_SECRET, the links of sent e-mails are
invalid and the old hashes match no address.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from events.database.email_keys import email_key
from events.database.transaction import insert_once
from sqlalchemy.orm import Session

from notifications.models import UnsubscribedAddress

SIGNATURE_BYTES = 16  # bytes: 128 bits
KEY_BYTES = sha256().digest_size


@dataclass(frozen=True)
class UnsubscribeLinks:
    """The links below the public URL, signed with the secret. As a condition, false without the URL or the secret."""

    public_url: str = ""
    secret: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.public_url and self.secret)

    def address_key(self, address: str) -> str:
        """Return the keyed hash of an address, in hexadecimal digits."""
        return self._mac(b"address", email_key(address).encode()).hex()

    def url(self, address: str) -> str:
        """Return the link with which this address unsubscribes."""
        key = bytes.fromhex(self.address_key(address))
        token = base64.urlsafe_b64encode(key + self._signature(key)).decode()
        return f"{self.public_url.rstrip('/')}/unsubscribe/{token}"

    def verified_key(self, token: str) -> str | None:
        """Return the address key of a link's token. None: we did not sign the token."""
        try:
            decoded = base64.urlsafe_b64decode(token.encode("ascii"))
        except (UnicodeEncodeError, binascii.Error):
            return None
        key, signature = decoded[:KEY_BYTES], decoded[KEY_BYTES:]
        return key.hex() if self and hmac.compare_digest(signature, self._signature(key)) else None

    def _signature(self, key: bytes) -> bytes:
        return self._mac(b"unsubscribe", key)[:SIGNATURE_BYTES]

    def _mac(self, purpose: bytes, value: bytes) -> bytes:
        return hmac.digest(self.secret.encode(), purpose + b":" + value, "sha256")


def unsubscribe(session: Session, address_key: str, now: datetime) -> bool:
    """Unsubscribe an address from promotional e-mails. Return False if it was unsubscribed already."""
    return insert_once(session, UnsubscribedAddress, address_key=address_key, unsubscribed_at=now)


def is_unsubscribed(session: Session, address_key: str) -> bool:
    """Return True if the address gets no promotional e-mails."""
    return session.get(UnsubscribedAddress, address_key) is not None
