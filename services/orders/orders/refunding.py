"""Refunds that operators ask for: the intention is stored, Stripe is called outside the transaction, its answer booked.

The process may die between any two of these: the worker takes up what is not answered, looks whether Stripe has made
the refund, and else asks again under the same key. Stripe's events may overtake all of it: whoever comes first books.
"""

from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update, skip_locked
from events.observability.logging import get_logger
from events.web.problems import Problem
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.announcements import Cause, amount_text, announce, note
from orders.intentions import LEASE, RefundWish, intend, intention_of
from orders.models import Order, RefundIntention
from orders.problems import order_not_found
from orders.refunds import record_refund
from orders.shipments import derive_fulfillment
from orders.stripe_client import Object
from orders.stripe_refunds import RefundRefused, StripeAway, StripeRefunds

# A timeout is over soon. A 500 is replayed to the same key for 24 hours: nothing is won by asking often.
BACKOFF = tuple(timedelta(seconds=seconds) for seconds in (15, 60, 300, 1800, 3600))

log = get_logger(__name__)


class Refunding:
    def __init__(self, database: Database, stripe: StripeRefunds) -> None:
        self._database, self._stripe = database, stripe

    def request(self, order_id: str, wish: RefundWish, key: str, actor: str) -> RefundIntention:
        """The intention under this key, asked of Stripe if it is new. Raises `Problem`."""
        with self._database.begin() as session:
            order = locked_order(session, order_id)
            intention = intention_of(session, order, wish, key)
            new = intention is None
            if intention is None:
                intention = intend(session, order, wish, key, actor)
        return self.ask(intention) if new else intention

    def ask(self, intention: RefundIntention) -> RefundIntention:
        """Ask Stripe, for the first time; the intention as it stands then."""
        self._ask(intention, utcnow(), first=True)
        with self._database.read() as session:
            return session.get_one(RefundIntention, intention.id)

    def resume(self, now: datetime | None = None) -> int:
        """Take up every intention that Stripe has not answered and that nobody has in hand; how many there were."""
        resumed = 0
        while intention := self._claim(at := now or utcnow()):
            self._ask(intention, at, first=False)
            resumed += 1
        return resumed

    def _claim(self, now: datetime) -> RefundIntention | None:
        """Nobody else has the same one in hand before the lease ends."""
        due = select(RefundIntention).where(RefundIntention.next_attempt_at <= now)
        with self._database.begin() as session:
            intention = session.scalar(skip_locked(session, due.order_by(RefundIntention.next_attempt_at).limit(1)))
            if intention is not None:
                intention.next_attempt_at = now + LEASE
            return intention

    def _ask(self, intention: RefundIntention, now: datetime, *, first: bool) -> None:
        try:
            found = None if first else self._stripe.find(intention)
            refund = found or self._stripe.create(intention)
        except RefundRefused as reason:
            self._refuse(intention.id, str(reason), alone=not first)
        except StripeAway as error:
            self._put_off(intention.id, str(error), now)
        else:
            self._record(intention.id, refund)

    def _record(self, intention_id: str, refund: Object) -> None:
        with self._database.begin() as session:
            order, intention = _locked(session, intention_id)
            record_refund(session, order, refund, Cause.now(intention.id))

    def _put_off(self, intention_id: str, error: str, now: datetime) -> None:
        with self._database.begin() as session:
            order, intention = _locked(session, intention_id)
            if not intention.is_asked:
                return  # an event was faster
            intention.error = error
            intention.next_attempt_at = now + BACKOFF[min(intention.attempts, len(BACKOFF) - 1)]
            intention.attempts += 1
            text = f"Stripe has not answered yet about {_what(intention)}; it is asked again."
            note(session, order, Cause.now(intention.id), "refund-unanswered", text)
        log.warning("stripe has not answered about a refund", intention=intention_id, error=error)

    def _refuse(self, intention_id: str, reason: str, *, alone: bool) -> None:
        """`alone`: nobody waits for the answer, so staff are told by an event."""
        with self._database.begin() as session:
            order, intention = _locked(session, intention_id)
            if not intention.is_asked:
                return
            intention.refuse(reason)
            derive_fulfillment(session, order)
            cause = Cause.now(intention.id)
            note(session, order, cause, "refund-refused", f"Stripe refused {_what(intention)}: {reason}")
            if alone:
                told = {"refund_id": intention.id, "refund_status": "failed", "refund_amount": intention.amount}
                more = {"amount_refunded": order.amount_refunded, "failure_reason": reason}
                announce(session, order, "orders.refund.failed", cause, **told, **more)
        log.warning("stripe refused a refund", intention=intention_id, reason=reason)


def locked_order(session: Session, order_id: str) -> Order:
    """Raises `Problem` 404."""
    order = session.scalar(for_update(session, select(Order).where(Order.id == order_id)))
    if order is None:
        raise order_not_found(order_id)
    return order


def refused(intention: RefundIntention) -> Problem:
    detail = f"Stripe refused this refund: {intention.error}"
    return Problem(409, "refund-refused", detail, intention=intention.id)


def _locked(session: Session, intention_id: str) -> tuple[Order, RefundIntention]:
    order_id = session.scalars(select(RefundIntention.order_id).where(RefundIntention.id == intention_id)).one()
    order = locked_order(session, order_id)
    return order, session.get_one(RefundIntention, intention_id)


def _what(intention: RefundIntention) -> str:
    return f"the refund of {amount_text(intention.amount, intention.currency)} that {intention.requested_by} asked for"
