"""Lookups of refunds that Stripe counts in a charge without an event for each of them.

Endpoints with an API version before 2024-10-28 get only `charge.refunded`, with a sum. The handler stores a lookup.
Some time later, the worker compares the sum with the booked refunds, and asks Stripe for them if some are missing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import skip_locked
from events.observability.logging import get_logger
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.orders import Order
from orders.models.refund_lookups import RefundLookup
from orders.models.refunds import Refund
from orders.refunds.booking import book_refund
from orders.refunds.gateway import RefundGateway, RefundRefusedError, StripeAwayError
from orders.repository import lock_order
from orders.stripe_objects import StripeObject

LOOKUP_DELAY = timedelta(seconds=30)  # newer API versions send an event for each refund, which books it in the meantime
RETRY_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (60, 300, 1800, 3600))

log = get_logger(__name__)


def refunds_of(charge: StripeObject) -> Sequence[StripeObject]:
    """Return the refunds that a charge lists. Those without a payment intent (old API versions) get the charge's."""
    listed = (charge.get("refunds") or {}).get("data") or []
    return [{**one, "payment_intent": one.get("payment_intent") or charge["payment_intent"]} for one in listed]


def request_lookup(session: Session, order: Order, charge: StripeObject) -> None:
    """Store or renew the payment's lookup if the charge's sum of refunds is higher than the booked sum.

    The lookup is due after `LOOKUP_DELAY`. The order must be locked.
    """
    payment_id, refunded = charge["payment_intent"], charge.get("amount_refunded") or 0
    if not refunded or refunded <= _amount_booked(session, order, payment_id):
        return
    lookup = session.get(RefundLookup, payment_id)
    if lookup is None:
        lookup = RefundLookup(payment_id=payment_id, order_id=order.id, amount_refunded=refunded, attempts=0)
        session.add(lookup)
    lookup.amount_refunded = max(lookup.amount_refunded, refunded)
    lookup.next_attempt_at, lookup.attempts = utcnow() + LOOKUP_DELAY, 0


class RefundLookups:
    """The worker's job that asks Stripe for refunds that are not booked. It calls Stripe outside of transactions."""

    def __init__(self, database: Database, gateway: RefundGateway) -> None:
        self._database, self._gateway = database, gateway

    def run_due(self, now: datetime | None = None) -> int:
        """Process every due lookup, and return the number of lookups."""
        done = 0
        while payment_id := self._claim(at := now or utcnow()):
            self._process(payment_id, at)
            done += 1
        return done

    def _claim(self, now: datetime) -> str | None:
        """Claim the lookup that has been due longest, until its next attempt; return its payment's id, or None."""
        due = select(RefundLookup).where(RefundLookup.next_attempt_at <= now)
        with self._database.begin() as session:
            lookup = session.scalar(skip_locked(session, due.order_by(RefundLookup.next_attempt_at).limit(1)))
            if lookup is None:
                return None
            lookup.next_attempt_at = now + RETRY_DELAYS[min(lookup.attempts, len(RETRY_DELAYS) - 1)]
            lookup.attempts += 1
            return lookup.payment_id

    def _process(self, payment_id: str, now: datetime) -> None:
        if self._is_complete(payment_id):
            self._finish(payment_id, (), now)
            return
        try:
            found = self._gateway.list_of_payment(payment_id)
        except (RefundRefusedError, StripeAwayError) as error:
            log.warning(
                "stripe did not list the refunds of a payment, the worker asks again later",
                payment_id=payment_id,
                error=str(error),
            )
        else:
            self._finish(payment_id, found, now)

    def _is_complete(self, payment_id: str) -> bool:
        with self._database.read() as session:
            lookup = session.get(RefundLookup, payment_id)
            if lookup is None:
                return True
            order = session.get_one(Order, lookup.order_id)
            return _amount_booked(session, order, payment_id) >= lookup.amount_refunded

    def _finish(self, payment_id: str, found: Sequence[StripeObject], now: datetime) -> None:
        """Book the refunds that Stripe listed and delete the lookup, unless an event has renewed it since."""
        with self._database.begin() as session:
            order_id = session.scalar(select(RefundLookup.order_id).where(RefundLookup.payment_id == payment_id))
            if order_id is None:
                return
            order = lock_order(session, order_id)
            for refund in found:
                book_refund(session, order, refund, Cause(refund["id"], now))
            lookup = session.get(RefundLookup, payment_id)
            if lookup is not None and lookup.attempts:
                session.delete(lookup)


def _amount_booked(session: Session, order: Order, payment_id: str) -> int:
    """Return the sum of a payment's booked refunds that neither failed nor were canceled, in minor units."""
    session.flush()
    booked = session.scalars(select(Refund).where(Refund.order_id == order.id, Refund.payment_id == payment_id))
    return sum(refund.amount for refund in booked if refund.counts_as_refunded)
