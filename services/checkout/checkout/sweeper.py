"""The sweeper: ends reservation, Stripe session and checkout together where a request died or a webhook is missing.

A checkout is due at its `check_at`. A claim moves `check_at` ahead in a short transaction. So several sweepers can run
side by side, and a failure is retried. Every step can be repeated. No transaction stays open during a network call.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import skip_locked
from events.messaging import outbox
from events.messaging.contracts.checkout import CancelReason
from events.messaging.session_payment import PENDING_HOLD_TIME
from events.observability.logging import get_logger
from sqlalchemy import select

from checkout import discounts, erasure, models
from checkout.checkouts import WEBHOOK_DELAY
from checkout.errors import DomainError, StripeAwayError, StripeRejectedError
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout
from checkout.publishing import attach_session_and_publish, publish_canceled
from checkout.repository import get_checkout, lock_checkout
from checkout.stripe_sessions import StripeSessions

CLAIM_BATCH_SIZE = 50  # checkouts per claim; while a neighbor is slow, each may take seconds
MIN_RECHECK_DELAY = timedelta(minutes=5)  # until the first retry: longer than the sweep of one batch
MAX_RECHECK_DELAY = models.DELAYED_PAYMENT_CHECK  # a payment under way keeps its stock from one check to the next
COUPON_RETRY_DELAY = timedelta(hours=1)  # a coupon that could not be deleted harms no one: its session has ended
RECHECK_AGE_DIVISOR = 4  # later retries wait for a quarter of the checkout's age: after four hours, for one hour
DELAYED_PAYMENT_EVENTS = {
    models.PAYMENT_PAID: "async_payment_succeeded",
    models.PAYMENT_FAILED: "async_payment_failed",
}

log = get_logger(__name__)


class Sweeper:
    """Checks due checkouts at Stripe, records what requests and webhooks did not, and deletes due coupons."""

    def __init__(
        self,
        database: Database,
        stripe: StripeSessions,
        inventory: InventoryClient,
        delayed_payment_time: timedelta = timedelta(days=65),
    ) -> None:
        self._database, self._stripe, self._inventory = database, stripe, inventory
        self._delayed_payment_time = delayed_payment_time

    def run(self, now: datetime | None = None) -> None:
        """Check every due checkout, then delete every due coupon. What fails is logged and is due again later."""
        now = now or utcnow()
        while checkout_ids := self._claim(now):
            for checkout_id in checkout_ids:
                self._check_and_log(checkout_id, now)
        while checkout_ids := self._claim_coupons(now):
            for checkout_id in checkout_ids:
                self._delete_coupon(checkout_id)

    def _claim(self, now: datetime) -> Sequence[str]:
        due = select(Checkout).where(Checkout.check_at <= now).order_by(Checkout.check_at).limit(CLAIM_BATCH_SIZE)
        with self._database.begin() as session:
            checkouts = session.scalars(skip_locked(session, due)).all()
            for checkout in checkouts:
                age = now - checkout.created_at
                checkout.check_at = now + min(max(MIN_RECHECK_DELAY, age / RECHECK_AGE_DIVISOR), MAX_RECHECK_DELAY)
            return [checkout.id for checkout in checkouts]

    def _claim_coupons(self, now: datetime) -> Sequence[str]:
        ended = (
            select(Checkout)
            .where(Checkout.coupon_ends_at <= now)
            .order_by(Checkout.coupon_ends_at)
            .limit(CLAIM_BATCH_SIZE)
        )
        with self._database.begin() as session:
            checkouts = session.scalars(skip_locked(session, ended)).all()
            for checkout in checkouts:
                checkout.coupon_ends_at = now + COUPON_RETRY_DELAY
            return [checkout.id for checkout in checkouts]

    def _delete_coupon(self, checkout_id: str) -> None:
        """Delete the coupon of a checkout whose sessions have all ended, so that no other session can use it."""
        try:
            self._stripe.delete_coupon(checkout_id)
        except DomainError as error:
            log.warning(
                "stripe did not delete a coupon, the deletion is repeated later",
                checkout_id=checkout_id,
                error=repr(error),
            )
            return
        with self._database.begin() as session:
            lock_checkout(session, checkout_id).coupon_ends_at = None

    def _check_and_log(self, checkout_id: str, now: datetime) -> None:
        try:
            self._check(checkout_id, now)
        except DomainError as error:
            log.warning(
                "the check of a checkout failed, it is repeated later", checkout_id=checkout_id, error=repr(error)
            )
        except Exception:  # it is due again after its claim; meanwhile it must not block the other checkouts
            log.exception(
                "the check of a checkout failed with an unexpected error, it is repeated later", checkout_id=checkout_id
            )

    def _check(self, checkout_id: str, now: datetime) -> None:
        with self._database.begin() as session:
            checkout = lock_checkout(session, checkout_id)
            if checkout.abandon(checkout.check_at or now):
                discounts.update_use(session, checkout)
            checkout.forget_ended_client()
        if checkout.status == models.ABANDONED:
            self._clean_up(checkout, now)
        elif checkout.status == models.OPEN or checkout.payment_status == models.PAYMENT_PENDING:
            self._record_from_stripe(checkout, now)

    def _clean_up(self, checkout: Checkout, now: datetime) -> None:
        """Release an abandoned checkout's stock and end its session. The customer never got the session's URL.

        Publish a session's start and cancellation, if they are not published. Erase the customer of a checkout without
        a session.
        """
        self._inventory.release(checkout.id)
        if checkout.reserved_at and (stripe_session := self._recreate_session(checkout, now)):
            with self._database.begin() as session:
                current = lock_checkout(session, checkout.id)
                if attach_session_and_publish(session, current, stripe_session):
                    publish_canceled(session, current, CancelReason.ABANDONED)
            self._expire_at_stripe(stripe_session["id"])
        with self._database.begin() as session:
            current = lock_checkout(session, checkout.id)
            if current.check_at == checkout.check_at:  # otherwise a slow request has asked for one more check
                current.check_at = None
                if current.session_id is None:  # orders has no order of it, so no erasure would ever reach it
                    erasure.erase_customer(session, current)
        log.info("abandoned checkout cleaned up", checkout_id=checkout.id)

    def _recreate_session(self, checkout: Checkout, now: datetime) -> dict[str, Any] | None:
        """Repeat the interrupted request's call to Stripe and return its session, which the caller ends.

        If the request made no session, this call makes one. Return None if Stripe rejects the call, or is away after
        the session's end.
        """
        try:
            return self._stripe.create(checkout)
        except StripeRejectedError:
            return None
        except StripeAwayError:
            if now < checkout.expires_at + WEBHOOK_DELAY:
                raise
            return None  # a session of this checkout has expired by now

    def _expire_at_stripe(self, session_id: str) -> None:
        try:
            self._stripe.expire(session_id)
        except StripeRejectedError:
            log.info("stripe did not expire the session, it has probably ended", session_id=session_id)

    def _record_from_stripe(self, checkout: Checkout, now: datetime) -> None:
        """Ask Stripe how the session or its delayed payments ended. Record what is new and publish it as an event.

        A payment that is still under way keeps its stock, but not longer than DELAYED_PAYMENT_DAYS.
        """
        for session_id in checkout.pending_sessions or [str(checkout.session_id)]:
            self._record_session_from_stripe(checkout, session_id, now)
        with self._database.read() as session:
            current = get_checkout(session, checkout.id)
        if current.payment_status == models.PAYMENT_PENDING and current.pending_at:
            latest = current.pending_at + self._delayed_payment_time
            if now < latest:  # an end in the past would hold ended pieces again, until inventory's next sweep
                self._inventory.extend(checkout.id, min(now + PENDING_HOLD_TIME, latest))

    def _record_session_from_stripe(self, checkout: Checkout, session_id: str, now: datetime) -> None:
        stripe_session = self._stripe.retrieve(session_id)
        is_pending = checkout.payment_status == models.PAYMENT_PENDING
        payment_failed = is_pending and self._stripe.fetch_payment_failed(stripe_session)
        with self._database.begin() as session:
            current = lock_checkout(session, checkout.id)
            if checkout.payment_status:
                fact = _record_delayed_payment(current, stripe_session, payment_failed, now)
            else:
                fact = _record_end(current, stripe_session, now)
            if fact is None:
                return
            discounts.update_use(session, current)
            outbox.add_recovered_stripe_event(
                session,
                f"checkout.session.{fact}",
                stripe_session,
                event_id=outbox.recovered_event_id(stripe_session, fact),
                correlation_id=current.id,
                source="checkout",
            )
        log.warning(
            "a stripe event is missing, its fact was read from stripe and recorded", checkout_id=checkout.id, fact=fact
        )


def _record_end(checkout: Checkout, stripe_session: Mapping[str, Any], now: datetime) -> str | None:
    """Record how a session ended. Return the missing event's fact, such as `expired`, or None if nothing is new."""
    if stripe_session["status"] == models.EXPIRED and checkout.expire():
        return "expired"
    if stripe_session["status"] == models.COMPLETE and checkout.complete(stripe_session["id"]):
        checkout.record_payment_status(stripe_session["id"], models.payment_status_of(stripe_session), now)
        return "completed"
    return None


def _record_delayed_payment(
    checkout: Checkout, stripe_session: Mapping[str, Any], payment_failed: bool, now: datetime
) -> str | None:
    """Record how a delayed payment ended. Return the missing event's fact, or None if nothing is new."""
    status = models.PAYMENT_FAILED if payment_failed else models.payment_status_of(stripe_session)
    is_new = checkout.record_payment_status(stripe_session["id"], status, now)
    return DELAYED_PAYMENT_EVENTS[status] if is_new else None
