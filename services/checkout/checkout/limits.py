"""Limits of what one client can hold without paying: open checkouts and their pieces.

A client is an IP address and, if the cart has one, an e-mail address. A new checkout that would exceed a limit is
refused. A new checkout never ends an open one: anyone can name a customer's e-mail address.

Each checkout has both addresses as keyed hashes, until it is paid or can no longer be paid. An ended checkout can still
be paid while Stripe's link recovers its cart (models.py). Only checkouts that can hold pieces count.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from events.database.email_keys import email_key
from events.database.transaction import lock_keys
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy import func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from checkout.config import Config
from checkout.errors import InvalidCartError, TooManyOpenCheckoutsError
from checkout.models import COMPLETE, NEW, OPEN, PAYMENT_PENDING, Checkout

ADDRESS, EMAIL, BOT = "address", "email", "bot"
REFUSED_CHECKOUTS = Counter(
    "clozit_checkouts_refused_total", "Checkouts that a limit or the bot check refused", ["reason"]
)
from_zero(REFUSED_CHECKOUTS, [ADDRESS, EMAIL, BOT])

# As a list of statuses and a condition on one of them, so that the index by key and status finds few rows.
HOLDS_PIECES = (
    Checkout.status.in_((NEW, OPEN, COMPLETE)),
    or_(Checkout.status != COMPLETE, Checkout.payment_status == PAYMENT_PENDING),
)


@dataclass(frozen=True)
class Client:
    """The client of a request: its IP address or IPv6 network, and its token of the bot check."""

    network: str | None = None
    bot_token: str | None = None


@dataclass(frozen=True)
class Limit:
    """The limits of one IP address or e-mail address. `key` is its hash, and `column` has the hash in each checkout.

    0 in `max_checkouts` or `max_pieces` means no limit.
    """

    kind: str
    key: str
    column: InstrumentedAttribute[str | None]
    max_checkouts: int
    max_pieces: int


def client_limits(config: Config, network: str | None, email: str | None) -> Sequence[Limit]:
    """Return the limits of a client, by IP address and by e-mail address, without those that are switched off."""
    limits = _limits(config, network, email_key(email) if email else None)
    return [limit for limit in limits if limit.max_checkouts or limit.max_pieces]


def lock(session: Session, limits: Sequence[Limit]) -> None:
    """Lock the client's keys until the transaction ends, so that each new checkout counts the earlier ones."""
    lock_keys(session, [limit.key for limit in limits])


def check(session: Session, limits: Sequence[Limit], pieces: int) -> None:
    """Raise `TooManyOpenCheckoutsError` if a new checkout with `pieces` would exceed a limit. Count the refusal.

    Raises `InvalidCartError` for a cart that exceeds a limit by itself.
    """
    for limit in limits:
        if limit.max_pieces and pieces > limit.max_pieces:
            REFUSED_CHECKOUTS.labels(limit.kind).inc()
            message = f"This cart has too many pieces: the maximum for one customer at a time is {limit.max_pieces}."
            raise InvalidCartError(items=[f"{message} Reduce the quantities."])
        open_checkouts, open_pieces, ends_at = session.execute(
            select(func.count(), func.coalesce(func.sum(Checkout.pieces), 0), func.min(Checkout.expires_at)).where(
                limit.column == limit.key, *HOLDS_PIECES
            )
        ).one()
        if (limit.max_checkouts and open_checkouts >= limit.max_checkouts) or (
            limit.max_pieces and open_pieces + pieces > limit.max_pieces
        ):
            REFUSED_CHECKOUTS.labels(limit.kind).inc()
            raise TooManyOpenCheckoutsError(limit.kind, open_checkouts, open_pieces, ends_at)


def _limits(config: Config, network: str | None, email: str | None) -> Iterator[Limit]:
    if network:
        yield Limit(
            ADDRESS,
            _hash(config, ADDRESS, network),
            Checkout.client_key,
            config.max_open_checkouts_per_address,
            config.max_open_pieces_per_address,
        )
    if email:
        yield Limit(
            EMAIL,
            _hash(config, EMAIL, email),
            Checkout.email_key,
            config.max_open_checkouts_per_email,
            config.max_open_pieces_per_email,
        )


def _hash(config: Config, kind: str, value: str) -> str:
    """Return a hash keyed with the service token. Without a key, anyone could find an IP address by trying all."""
    return hmac.new(config.service_token.encode(), f"{kind}:{value}".encode(), hashlib.sha256).hexdigest()
