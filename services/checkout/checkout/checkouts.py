"""A checkout from the cart to Stripe's page, in atomic phases; none holds a transaction over the network.

    1  store    the priced cart and when it ends                        transaction (agreements.py)
    2  reserve  the stock, by checkout id                               inventory, then a note of it
    3  create   the session, by the checkout's own idempotency key      Stripe
    4  open     session id and address, with checkout.checkout.started   transaction

Every phase may be repeated: a repeat of the request goes on where the stored row stands. What nobody finishes is
cleared away by the sweep (leases.py).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.observability.logging import get_logger
from sqlalchemy.orm import Session

from checkout import agreements, discounts, models
from checkout.agreements import Wish
from checkout.announcements import announce_canceled, locked, record_session
from checkout.config import Config
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout
from checkout.problems import (
    AlreadyPaid,
    AmountTooSmall,
    CheckoutExpired,
    CheckoutNotFound,
    InventoryUnavailable,
    StripeRejected,
)
from checkout.stripe_sessions import StripeSessions

WEBHOOK_DELAY = timedelta(minutes=5)  # after a session's end, within which its webhook has usually come

log = get_logger(__name__)


class Checkouts:
    """Everything here raises the classes of problems.py."""

    def __init__(
        self,
        config: Config,
        database: Database,
        stripe: StripeSessions,
        inventory: InventoryClient,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._config, self._database, self._clock = config, database, clock
        self._stripe, self._inventory = stripe, inventory

    def start(self, wish: Wish, key: str | None) -> Checkout:
        """The open checkout for this wish; the same one for the same key."""
        with self._database.begin() as session:
            checkout = agreements.store(session, self._config, wish, key, self._clock())
        if checkout.status == models.NEW:
            checkout = self._finish(checkout)
        if checkout.status in models.ENDED or (checkout.status == models.OPEN and checkout.expires_at <= self._clock()):
            raise CheckoutExpired
        return checkout

    def get(self, checkout_id: str) -> Checkout:
        with self._database.read() as session:
            return _found(session.get(Checkout, checkout_id))

    def give_up(self, checkout_id: str) -> Checkout:
        """The customer does not want it. Raises `AlreadyPaid` when the payment was faster."""
        checkout = self.get(checkout_id)
        if checkout.status == models.OPEN:
            checkout = self._cancel(checkout.id, self._end_at_stripe(str(checkout.session_id)))
        elif checkout.status == models.NEW:
            with self._database.begin() as session:
                checkout = _locked(session, checkout_id)
                checkout.abandon(self._clock())
                discounts.follow(session, checkout)
        if checkout.status == models.COMPLETE:
            raise AlreadyPaid
        return checkout

    def _finish(self, checkout: Checkout) -> Checkout:
        if not agreements.is_resumable(checkout, self._clock()):
            raise CheckoutExpired
        self._reserve(checkout)
        return self._open(checkout.id, self._create(checkout))

    def _create(self, checkout: Checkout) -> dict[str, Any]:
        try:
            return self._stripe.create(checkout)
        except StripeRejected as refusal:
            if refusal.code != "amount_too_small":  # the minimum of a currency that the account does not settle in
                raise
            raise AmountTooSmall(checkout.amount_total, checkout.currency) from refusal

    def _reserve(self, checkout: Checkout) -> None:
        grace = timedelta(minutes=self._config.reservation_grace_minutes)
        self._inventory.reserve(checkout.id, checkout.expires_at + grace, checkout.lines)
        with self._database.begin() as session:
            current = _locked(session, checkout.id)
            current.reserved_at = current.reserved_at or self._clock()
            if current.status == models.ABANDONED:
                current.check_at = self._clock()  # the sweep was faster, so its release may have come too early
        if current.status == models.ABANDONED:
            raise CheckoutExpired

    def _open(self, checkout_id: str, found: Mapping[str, Any]) -> Checkout:
        with self._database.begin() as session:
            checkout = _locked(session, checkout_id)
            if checkout.open(checkout.expires_at + WEBHOOK_DELAY):
                record_session(session, checkout, found)
        return checkout

    def _end_at_stripe(self, session_id: str) -> dict[str, Any]:
        """The session as it ended: `expired`, or `complete` when the payment was faster."""
        try:
            return self._stripe.expire(session_id)
        except StripeRejected:
            found = self._stripe.retrieve(session_id)
            if found["status"] == models.OPEN:
                raise
            return found

    def _cancel(self, checkout_id: str, ended: Mapping[str, Any]) -> Checkout:
        with self._database.begin() as session:
            checkout = _locked(session, checkout_id)
            if ended["status"] == models.COMPLETE:
                checkout.complete(ended["id"])
                checkout.record_payment(models.payment_of(ended), self._clock())
            elif checkout.cancel():
                announce_canceled(session, checkout)
            discounts.follow(session, checkout)
        if checkout.status == models.CANCELED:
            self._release(checkout_id)
        return checkout

    def _release(self, checkout_id: str) -> None:
        try:
            self._inventory.release(checkout_id)
        except InventoryUnavailable:
            log.info("stock is released by the session's expiry instead", checkout_id=checkout_id)


def _found(checkout: Checkout | None) -> Checkout:
    if checkout is None:
        raise CheckoutNotFound
    return checkout


def _locked(session: Session, checkout_id: str) -> Checkout:
    return _found(locked(session, checkout_id))
