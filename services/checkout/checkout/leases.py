"""The sweep: reservation, Stripe session and checkout end together, also when a request died or a webhook never came.

A checkout is due at its `check_at`. Claiming one moves that ahead in a short transaction, so that sweeps may run
side by side and a failure is tried again; each step may be repeated, and none holds a transaction over the network.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import skip_locked
from events.messaging import outbox
from events.observability.logging import get_logger
from events.web.problems import Problem
from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout import discounts, models
from checkout.announcements import announce_canceled, locked, record_session
from checkout.checkouts import WEBHOOK_DELAY
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout
from checkout.problems import CheckoutNotFound, StripeRejected, StripeUnavailable
from checkout.stripe_sessions import StripeSessions

BATCH = 50  # checkouts a claim; with a neighbour slow, each may take seconds
RECHECK = timedelta(minutes=5)  # until the first retry: longer than a sweep of one batch
PATIENCE = 4  # what has been unsettled for four hours is looked at every hour
DELAYED = {models.PAID: "async_payment_succeeded", models.FAILED: "async_payment_failed"}  # the event that tells

log = get_logger(__name__)


class Sweep:
    def __init__(self, database: Database, stripe: StripeSessions, inventory: InventoryClient) -> None:
        self._database, self._stripe, self._inventory = database, stripe, inventory

    def run(self, now: datetime | None = None) -> None:
        """Look at every checkout that is due."""
        now = now or utcnow()
        while checkout_ids := self._claim(now):
            for checkout_id in checkout_ids:
                self._try(checkout_id, now)

    def _claim(self, now: datetime) -> Sequence[str]:
        due = select(Checkout).where(Checkout.check_at <= now).order_by(Checkout.check_at).limit(BATCH)
        with self._database.begin() as session:
            checkouts = session.scalars(skip_locked(session, due)).all()
            for checkout in checkouts:
                checkout.check_at = now + max(RECHECK, (now - checkout.created_at) / PATIENCE)
            return [checkout.id for checkout in checkouts]

    def _try(self, checkout_id: str, now: datetime) -> None:
        try:
            self._settle(checkout_id, now)
        except Problem as problem:
            log.warning("checkout is looked at again later", checkout_id=checkout_id, reason=str(problem))
        except Exception:  # its claim brings it back later; meanwhile it must not hold up the others
            log.exception("checkout cannot be settled", checkout_id=checkout_id)

    def _settle(self, checkout_id: str, now: datetime) -> None:
        with self._database.begin() as session:
            checkout = _locked(session, checkout_id)
            if checkout.abandon(checkout.check_at or now):
                discounts.follow(session, checkout)
        if checkout.status == models.ABANDONED:
            self._clear_away(checkout, now)
        elif checkout.status == models.OPEN or checkout.payment == models.PENDING:
            self._ask_stripe(checkout, now)

    def _clear_away(self, checkout: Checkout, now: datetime) -> None:
        """Nobody was given this session's address, so nobody can pay it."""
        self._inventory.release(checkout.id)
        if checkout.reserved_at and (found := self._learn(checkout, now)):
            with self._database.begin() as session:
                current = _locked(session, checkout.id)
                if record_session(session, current, found):
                    announce_canceled(session, current)
            self._end_at_stripe(found["id"])
        with self._database.begin() as session:
            current = _locked(session, checkout.id)
            if current.check_at == checkout.check_at:  # else somebody who was still at work asks for another look
                current.check_at = None
                if current.session_id is None:  # no order was made of it, by which she could be forgotten later
                    discounts.forget_customer(session, current)
        log.info("abandoned checkout is cleared away", checkout_id=checkout.id)

    def _learn(self, checkout: Checkout, now: datetime) -> dict[str, Any] | None:
        """The session that the interrupted request may have made: repeating its call tells."""
        try:
            return self._stripe.create(checkout)
        except StripeRejected:
            return None
        except StripeUnavailable:
            if now < checkout.expires_at + WEBHOOK_DELAY:
                raise
            return None  # whatever was made has ended by itself

    def _end_at_stripe(self, session_id: str) -> None:
        try:
            self._stripe.expire(session_id)
        except StripeRejected:
            log.info("session had ended before", session_id=session_id)

    def _ask_stripe(self, checkout: Checkout, now: datetime) -> None:
        found = self._stripe.retrieve(str(checkout.session_id))
        has_failed = checkout.payment == models.PENDING and self._stripe.has_failed(found)
        with self._database.begin() as session:
            current = _locked(session, checkout.id)
            fact = _delayed_end(current, found, has_failed, now) if checkout.payment else _end(current, found, now)
            if fact is None:
                return
            discounts.follow(session, current)
            outbox.add_recovered_stripe_event(
                session,
                f"checkout.session.{fact}",
                found,
                event_id=outbox.recovered_event_id(found, fact),
                correlation_id=current.id,
                source="checkout",
            )
        log.warning("stripe's event never came", checkout_id=checkout.id, fact=fact)


def _end(checkout: Checkout, found: Mapping[str, Any], now: datetime) -> str | None:
    """Take in how the session ended at Stripe; the event that should have told us, if it was news."""
    if found["status"] == models.EXPIRED and checkout.expire():
        return "expired"
    if found["status"] == models.COMPLETE and checkout.complete(found["id"]):
        checkout.record_payment(models.payment_of(found), now)
        return "completed"
    return None


def _delayed_end(checkout: Checkout, found: Mapping[str, Any], has_failed: bool, now: datetime) -> str | None:
    """The same for a payment that was still to come when the customer left the page."""
    payment = models.FAILED if has_failed else models.payment_of(found)
    return DELAYED[payment] if checkout.record_payment(payment, now) else None


def _locked(session: Session, checkout_id: str) -> Checkout:
    checkout = locked(session, checkout_id)
    if checkout is None:
        raise CheckoutNotFound
    return checkout
