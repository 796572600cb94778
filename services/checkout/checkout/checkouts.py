"""A checkout from the cart to Stripe's page, in atomic phases. No transaction stays open during a network call.

    1  store    the priced cart and its end                              transaction (creation.py)
    2  reserve  the stock, by checkout id                                inventory, then a transaction
    3  create   the session, with the checkout's own idempotency key     Stripe
    4  open     session id and URL, with checkout.checkout.started       transaction

Every phase can be repeated: a repeated request finds the stored cart and repeats phases 2 to 4 until the checkout is
open. The sweeper cleans up checkouts that never become open (sweeper.py).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.messaging.contracts.checkout import CancelReason
from events.observability.logging import get_logger

from checkout import creation, discounts, models
from checkout.bot_check import BotCheck
from checkout.config import Config
from checkout.creation import CheckoutRequest
from checkout.errors import (
    AlreadyPaidError,
    AmountTooLargeError,
    AmountTooSmallError,
    CheckoutExpiredError,
    DomainError,
    InvalidCartError,
    InventoryAwayError,
    OutOfStockError,
    StripeRejectedError,
    StripeUnauthorizedError,
)
from checkout.inventory_client import InventoryClient
from checkout.limits import Client
from checkout.models import Checkout
from checkout.publishing import attach_session_and_publish, publish_canceled
from checkout.repository import get_checkout, lock_checkout
from checkout.stripe_params import fields_of_param
from checkout.stripe_sessions import StripeSessions

WEBHOOK_DELAY = timedelta(minutes=5)  # after a session's end; its webhook has usually arrived by then

# A repeat of the same request fails, too, and Stripe has no session of it.
REFUSALS = (
    OutOfStockError,
    InvalidCartError,
    AmountTooSmallError,
    AmountTooLargeError,
    StripeRejectedError,
    StripeUnauthorizedError,
)

UNKNOWN_CLIENT = Client()

log = get_logger(__name__)


class Checkouts:
    """Starts, shows and cancels checkouts. Raises the errors of errors.py."""

    def __init__(
        self,
        config: Config,
        database: Database,
        stripe: StripeSessions,
        inventory: InventoryClient,
        clock: Callable[[], datetime] = utcnow,
        bot_check: BotCheck | None = None,
    ) -> None:
        self._config, self._database, self._clock = config, database, clock
        self._bot_check = bot_check or BotCheck(config.bot_check_url, config.bot_check_secret)
        self._stripe, self._inventory = stripe, inventory

    def start(self, request: CheckoutRequest, key: str | None, client: Client = UNKNOWN_CLIENT) -> Checkout:
        """Start a checkout and return it; return the same checkout for a repeated key.

        Raises `CheckoutExpiredError` if the key's checkout ended unpaid, its time is over, or its first request was
        interrupted too long ago to continue.
        """
        if self._bot_check and not self._is_repeated(request, key):  # a token is valid once
            self._bot_check.verify(client.bot_token)
        with self._database.begin() as session:
            checkout = creation.store_checkout(session, self._config, request, key, self._clock(), client.network)
        if checkout.status == models.NEW:
            checkout = self._finish(checkout)
        session_ended = checkout.status == models.OPEN and checkout.expires_at <= self._clock()
        if checkout.status in models.ENDED_UNPAID or session_ended:
            raise CheckoutExpiredError
        return checkout

    def get(self, checkout_id: str) -> Checkout:
        """Return a checkout."""
        with self._database.read() as session:
            return get_checkout(session, checkout_id)

    def cancel(self, checkout_id: str, operator: str | None = None) -> Checkout:
        """Cancel a new or open checkout and return it: end its session at Stripe, and release its stock and discount.

        A checkout that ended unpaid is returned unchanged. `operator` is the token's name; None: the customer cancels.
        Raises `AlreadyPaidError` if the customer completed the checkout first.
        """
        checkout = self.get(checkout_id)
        if checkout.status == models.OPEN:
            stripe_session = self._expire_at_stripe(str(checkout.session_id))
            checkout = self._record_end(checkout.id, stripe_session, operator)
        elif checkout.status == models.NEW:
            checkout = self._abandon(checkout.id, operator)
        if checkout.status == models.COMPLETE:
            raise AlreadyPaidError
        return checkout

    def _is_repeated(self, request: CheckoutRequest, key: str | None) -> bool:
        with self._database.read() as session:
            return creation.find_stored(session, request, key) is not None

    def _finish(self, checkout: Checkout) -> Checkout:
        if not creation.is_resumable(checkout, self._clock()):
            raise CheckoutExpiredError
        try:
            self._reserve(checkout)
            stripe_session = self._create_session(checkout)
        except REFUSALS as error:
            self._refuse(checkout.id, error)
            raise
        return self._open(checkout.id, stripe_session)

    def _refuse(self, checkout_id: str, error: DomainError) -> None:
        """Abandon a checkout that cannot be started: release its stock and discount, and free its Idempotency-Key.

        The next run of the sweeper releases the stock again, in case the release failed here.
        """
        with self._database.begin() as session:
            checkout = lock_checkout(session, checkout_id)
            if not checkout.refuse(self._clock()):
                return  # a repeated request was faster and has opened it
            discounts.update_use(session, checkout)
        log.info("checkout refused", checkout_id=checkout_id, error=repr(error))
        self._release(checkout_id)

    def _reserve(self, checkout: Checkout) -> None:
        grace = timedelta(minutes=self._config.reservation_grace_minutes)
        self._inventory.reserve(checkout.id, checkout.expires_at + grace, checkout.lines)
        with self._database.begin() as session:
            current = lock_checkout(session, checkout.id)
            current.reserved_at = current.reserved_at or self._clock()
            if current.status == models.ABANDONED:
                current.check_at = self._clock()  # the sweeper may have released before this reservation: release again
        if current.status == models.ABANDONED:
            raise CheckoutExpiredError

    def _create_session(self, checkout: Checkout) -> dict[str, Any]:
        try:
            return self._stripe.create(checkout)
        except StripeRejectedError as error:
            raise _explained(error, checkout) from error

    def _open(self, checkout_id: str, stripe_session: Mapping[str, Any]) -> Checkout:
        with self._database.begin() as session:
            checkout = lock_checkout(session, checkout_id)
            if checkout.open(checkout.expires_at + WEBHOOK_DELAY):
                attach_session_and_publish(session, checkout, stripe_session)
        return checkout

    def _expire_at_stripe(self, session_id: str) -> dict[str, Any]:
        """End the session at Stripe and return it: expired, or complete if the customer paid first."""
        try:
            return self._stripe.expire(session_id)
        except StripeRejectedError:
            stripe_session = self._stripe.retrieve(session_id)
            if stripe_session["status"] == models.OPEN:
                raise
            return stripe_session

    def _abandon(self, checkout_id: str, operator: str | None) -> Checkout:
        """Abandon a new checkout, and release its stock and discount.

        If Stripe has already made a session of the checkout, the sweeper ends that session.
        """
        with self._database.begin() as session:
            checkout = lock_checkout(session, checkout_id)
            is_changed = checkout.abandon(self._clock())
            discounts.update_use(session, checkout)
        if is_changed:
            log.info("checkout canceled before it was open", checkout_id=checkout_id, actor=operator or "customer")
        if checkout.status == models.ABANDONED:
            self._release(checkout_id)
        return checkout

    def _record_end(self, checkout_id: str, stripe_session: Mapping[str, Any], operator: str | None) -> Checkout:
        """Record a checkout as complete if its ended session is complete, otherwise as canceled.

        Publish the cancellation if it is new. Release the stock and discount of a canceled checkout.
        """
        is_canceled = False
        with self._database.begin() as session:
            checkout = lock_checkout(session, checkout_id)
            if stripe_session["status"] == models.COMPLETE:
                checkout.complete(stripe_session["id"])
                status = models.payment_status_of(stripe_session)
                checkout.record_payment_status(stripe_session["id"], status, self._clock())
            elif is_canceled := checkout.cancel():
                publish_canceled(session, checkout, CancelReason.OPERATOR if operator else CancelReason.CUSTOMER)
            discounts.update_use(session, checkout)
        if is_canceled:
            log.info("checkout canceled", checkout_id=checkout_id, actor=operator or "customer")
        if checkout.status == models.CANCELED:
            self._release(checkout_id)
        return checkout

    def _release(self, checkout_id: str) -> None:
        try:
            self._inventory.release(checkout_id)
        except InventoryAwayError:
            log.info(
                "inventory did not release a checkout's stock, the stock is released later", checkout_id=checkout_id
            )


def _explained(error: StripeRejectedError, checkout: Checkout) -> DomainError:
    """Return an error that names what the caller can correct; the given error if the caller can correct nothing."""
    if error.code == "amount_too_small":  # some minimums only Stripe knows (events.money)
        return AmountTooSmallError(checkout.amount_total, checkout.currency)
    if error.code == "amount_too_large":
        return AmountTooLargeError(checkout.amount_total, checkout.currency)
    if fields := fields_of_param(error.param):
        return InvalidCartError(**fields)
    return error
