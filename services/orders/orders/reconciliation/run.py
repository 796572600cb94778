"""One reconciliation run: compares Stripe's objects since an instant with the orders, and yields the differences.

To repair a difference, it makes the missing event from the object at Stripe and adds it to the outbox. So every service
gets the event through RabbitMQ and handles it as any other. Checkout's sweeper derives the same event id for the same
change of a session. So the services handle one event, even if reconciliation and the sweeper both publish it.

Refunds and disputes are compared one by one: those since the instant, and all that are under way. To find a refund
that failed long after it was created, or an old dispute that was appealed, use an earlier instant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update
from events.messaging import outbox
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.session_payment import is_paid
from sqlalchemy import ColumnElement, and_, select, union
from sqlalchemy.orm import InstrumentedAttribute, aliased, selectinload

from orders.models.disputes import CLOSED, Dispute
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import FINAL, Refund
from orders.reconciliation.difference import About, Difference, describe_amount
from orders.reconciliation.disputes import compare_dispute, recovered_dispute_event_id
from orders.reconciliation.refunds import compare_refund
from orders.reconciliation.sessions import SUCCEEDED, SUFFIXES, compare_session, session_difference, status_text
from orders.reconciliation.stripe import Intent, StripeRecords
from orders.stripe_objects import PAGE_SIZE, UNKNOWN_STATUS, StripeObject, checkout_id_of

COMPARED = (selectinload(Order.payments), selectinload(Order.reviews))  # what comparisons read beside the order
MIN_CHANGE_AGE = timedelta(minutes=2)  # events of younger changes may still be on their way

MAX_SEEN = 500_000  # ids, 50 MB: at 1,000 events/s those of 12 minutes, in which most customers pay
ItemT = TypeVar("ItemT")


class Seen:
    """The ids that were compared, the newest `MAX_SEEN` of them. What is forgotten is compared once more."""

    def __init__(self) -> None:
        self._ids: dict[str | None, None] = {}

    def add(self, *ids: str | None) -> None:
        """Remember ids, and forget the oldest ones beyond the limit."""
        self._ids.update(dict.fromkeys(ids))
        while len(self._ids) > MAX_SEEN:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._ids


class Reconciliation:
    """A comparison of the objects that Stripe created since an instant, and of the orders paid since then.

    With `before`, it leaves out what was created or paid at this instant or later, and refunds and disputes under way.
    Windows that follow each other share what they have `seen`.
    """

    def __init__(
        self,
        database: Database,
        stripe: StripeRecords,
        since: datetime,
        before: datetime | None = None,
        seen: "Seen | None" = None,
    ) -> None:
        self._database, self._stripe, self._since, self._before = database, stripe, since, before
        self._until = utcnow() - MIN_CHANGE_AGE
        self._seen = seen or Seen()  # ids of our sessions and of their payment intents
        self._objects: dict[str, StripeObject] = {}  # sessions and refunds with differences by id, to repair from
        self.compared = 0  # sessions of ours

    def differences(self) -> Iterator[Difference]:
        """Yield every difference. Raises `stripe.StripeError` if a call to Stripe fails."""
        window = self._since, self._before
        intents = {intent.id: intent for intent in self._stripe.intents(*window) if intent.checkout_id}
        for page in _pages(self._stripe.sessions(*window)):
            yield from self._compare_sessions(page, intents)
        unseen = (each for each in intents.values() if each.status == SUCCEEDED and each.id not in self._seen)
        for some in _pages(unseen):
            for intent in some if self._before is None else self._without_booked(some):
                yield from self._compare_intent(intent)
        for order in self._paid_orders():
            yield from self._compare_paid_order(order)
        refunds = {refund["id"]: refund for refund in self._stripe.refunds(*window)}
        for refund_id in refunds.keys() | self._booked_refund_ids():
            yield from self._compare_refund(refund_id, refunds.get(refund_id))
        disputes = {dispute["id"]: dispute for dispute in self._stripe.disputes(*window)}
        for dispute_id in disputes.keys() | self._booked_dispute_ids():
            yield from self._compare_dispute(dispute_id, disputes.get(dispute_id))

    def compare_again(self, about: About, about_id: str) -> Iterator[Difference]:
        """Yield the differences of one object, wherever in time it is."""
        if about is About.SESSION:
            if stripe_session := self._stripe.session(about_id):
                yield from self._compare_session(stripe_session, self._intent_of(stripe_session))
        elif about is About.INTENT:
            yield from self._compare_intent(self._stripe.intent(about_id))
        elif about is About.REFUND:
            yield from self._compare_refund(about_id, None)
        elif about is About.DISPUTE:
            yield from self._compare_dispute(about_id, None)
        else:
            statement = select(Order).where(Order.checkout_id == about_id, Order.paid_at.is_not(None))
            with self._database.read() as session:
                order = session.scalar(statement.options(selectinload(Order.payments)))
            if order is not None:
                yield from self._compare_paid_order(order)

    def repair(self, difference: Difference) -> Difference:
        """Add the missing event to the outbox and return the difference with `repaired_by`.

        Return the difference without `repaired_by` if no event can repair it, or if the event was sent before. In the
        second case the text says so. The difference must come from `differences` of this object.
        """
        about = difference.refund_id or difference.dispute_id or difference.session_id
        if difference.missing_event is None or about is None:
            return difference
        stripe_object = self._objects[about]
        if difference.refund_id:
            stripe_type, event_id = (
                difference.missing_event,
                f"evt_recovered_{stripe_object['id']}_{stripe_object.get('status') or UNKNOWN_STATUS}",
            )
        elif difference.dispute_id:
            stripe_type, event_id = difference.missing_event, recovered_dispute_event_id(stripe_object)
        else:
            stripe_type = f"checkout.session.{difference.missing_event}"
            event_id = outbox.recovered_event_id(stripe_object, difference.missing_event)
            event_id += SUFFIXES.get(difference.kind, "")
        with self._database.begin() as session:
            sent = session.get(OutboxEvent, event_id)
            if session.get(InboxEvent, event_id) or (sent and sent.published_at):
                sent_before = f"{event_id} was sent before and has not repaired this."
                text = f"{difference.text} {sent_before} To see why, run: orders inbox show {event_id}"
                return replace(difference, text=text)
            session.scalar(for_update(session, select(Order.id).where(Order.checkout_id == difference.checkout_id)))
            outbox.add_recovered_stripe_event(
                session,
                stripe_type,
                stripe_object,
                event_id=event_id,
                correlation_id=difference.checkout_id,
                source="orders",
            )
        return replace(difference, repaired_by=event_id)

    def _compare_sessions(self, page: Sequence[StripeObject], intents: Mapping[str, Intent]) -> Iterator[Difference]:
        """Yield the differences of listed sessions. Their orders are read at once."""
        ours = [each for each in page if checkout_id_of(each)]
        with self._database.read() as session:
            statement = select(Order).where(Order.checkout_id.in_([checkout_id_of(each) for each in ours]))
            orders = {order.checkout_id: order for order in session.scalars(statement.options(*COMPARED))}
        for stripe_session in ours:
            intent = intents.get(stripe_session["payment_intent"] or "")
            if intent is None and stripe_session["status"] == "complete" and not is_paid(stripe_session):
                intent = self._intent_of(stripe_session)  # created after the window: has its delayed payment failed?
            order = orders.get(str(checkout_id_of(stripe_session)))
            if order is not None and not list(compare_session(order, stripe_session, intent)):
                self._mark_seen(stripe_session)
            else:
                yield from self._compare_session(stripe_session, intent)

    def _mark_seen(self, stripe_session: StripeObject) -> None:
        self.compared += 1
        self._seen.add(stripe_session["id"], stripe_session["payment_intent"])

    def _without_booked(self, intents: Sequence[Intent]) -> Iterator[Intent]:
        """Yield the succeeded intents except those whose payment is booked with the amount that Stripe received.

        Most of their sessions are older than the listed ones, and Stripe would have to be asked for each.
        """
        statement = select(Payment).where(Payment.id.in_([intent.id for intent in intents]))
        with self._database.read() as session:
            booked = {payment.id: payment for payment in session.scalars(statement) if payment.paid_at}
        for intent in intents:
            payment = booked.get(intent.id)
            if payment is None or (payment.amount, payment.currency) != (intent.amount_received, intent.currency):
                yield intent

    def _compare_session(self, stripe_session: StripeObject, intent: Intent | None) -> Iterator[Difference]:
        """Yield the differences of a session. Fetch a session with differences again first: lists are seconds old."""
        checkout_id = checkout_id_of(stripe_session)
        if checkout_id is None:
            return
        self._mark_seen(stripe_session)
        if self._is_young(stripe_session, intent) or not self._session_differences(checkout_id, stripe_session, intent):
            return
        stripe_session = self._stripe.session(stripe_session["id"]) or stripe_session
        intent = self._intent_of(stripe_session)
        if not self._is_young(stripe_session, intent):
            self._objects[stripe_session["id"]] = stripe_session
            yield from self._session_differences(checkout_id, stripe_session, intent)

    def _compare_intent(self, intent: Intent) -> Iterator[Difference]:
        """Yield the differences of a payment whose session is older than the listed ones, or does not exist."""
        stripe_session = self._stripe.session_of(intent.id)
        if stripe_session is not None and checkout_id_of(stripe_session):
            yield from self._compare_session(stripe_session, intent)
        elif intent.tried_at <= self._until.timestamp():
            received = describe_amount(intent.amount_received, intent.currency)
            text = f"Stripe received {received} with {intent.id}, which has no session of this shop."
            yield Difference("no-session", text, str(intent.checkout_id), payment_intent=intent.id)

    def _compare_paid_order(self, order: Order) -> Iterator[Difference]:
        """Yield the differences of the order's payments whose sessions were not listed, however old these are."""
        paid = [payment for payment in order.payments if payment.paid_at]
        if not paid:
            yield session_difference(
                order, "not-paid-at-stripe", "The order is paid, but none of its payments is booked as paid."
            )
        for payment in paid:
            if payment.session_id is None or payment.session_id in self._seen:
                continue
            stripe_session = self._stripe.session(payment.session_id)
            if stripe_session is not None and checkout_id_of(stripe_session) == order.checkout_id:
                yield from self._compare_session(stripe_session, self._intent_of(stripe_session))
            else:
                text = f"The order is paid with {payment.session_id}, but Stripe has no such session of this order."
                yield session_difference(order, "not-paid-at-stripe", text)

    def _compare_refund(self, refund_id: str, stripe_refund: StripeObject | None) -> Iterator[Difference]:
        """Yield the differences of a refund. Fetch a refund with differences again first: it may be booked by now."""
        if stripe_refund and stripe_refund["created"] > self._until.timestamp():
            return
        if stripe_refund is None or self._refund_differences(refund_id, stripe_refund):
            stripe_refund = self._stripe.refund(refund_id)
            if stripe_refund is not None:
                self._objects[refund_id] = stripe_refund
            yield from self._refund_differences(refund_id, stripe_refund)

    def _compare_dispute(self, dispute_id: str, stripe_dispute: StripeObject | None) -> Iterator[Difference]:
        """Yield the differences of a dispute. Fetch a dispute with differences again first: it may be booked by now."""
        if stripe_dispute and stripe_dispute["created"] > self._until.timestamp():
            return
        if stripe_dispute is None or self._dispute_differences(dispute_id, stripe_dispute):
            stripe_dispute = self._stripe.dispute(dispute_id)
            if stripe_dispute is not None:
                self._objects[dispute_id] = stripe_dispute
            yield from self._dispute_differences(dispute_id, stripe_dispute)

    def _dispute_differences(self, dispute_id: str, stripe_dispute: StripeObject | None) -> Sequence[Difference]:
        with self._database.read() as session:
            booked = session.get(Dispute, dispute_id)
            order = session.scalar(select(Order).where(self._order_condition(booked, stripe_dispute or {})))
        return list(compare_dispute(order, booked, stripe_dispute)) if order else []

    def _booked_dispute_ids(self) -> set[str]:
        """Return the ids of disputes opened or changed since the instant, and of all that are not closed."""
        changed = [self._in_window(column) for column in (Dispute.opened_at, Dispute.status_at)]
        found = (
            select(Dispute.id).where(condition, Dispute.opened_at <= self._until)
            for condition in (*changed, *([Dispute.status.not_in(CLOSED)] if self._before is None else []))
        )
        with self._database.read() as session:
            return set(session.scalars(union(*found)))

    def _session_differences(
        self, checkout_id: str, stripe_session: StripeObject, intent: Intent | None
    ) -> Sequence[Difference]:
        statement = select(Order).where(Order.checkout_id == checkout_id).options(*COMPARED)
        with self._database.read() as session:
            order = session.scalar(statement)
        if order is not None:
            return list(compare_session(order, stripe_session, intent))
        text = (
            f"{stripe_session['id']} is {status_text(stripe_session)} at Stripe,"
            " but it has no order: checkout.checkout.started is missing."
        )
        ids = {"session_id": stripe_session["id"], "payment_intent": stripe_session["payment_intent"]}
        return [Difference("no-order", text, checkout_id, **ids)]

    def _refund_differences(self, refund_id: str, stripe_refund: StripeObject | None) -> Sequence[Difference]:
        with self._database.read() as session:
            booked = session.get(Refund, refund_id)
            order = session.scalar(select(Order).where(self._order_condition(booked, stripe_refund or {})))
        return list(compare_refund(order, booked, stripe_refund)) if order else []

    def _order_condition(self, booked: Refund | Dispute | None, stripe_object: StripeObject) -> ColumnElement[bool]:
        """Return the SQL condition for the order of a refund or dispute, by its booked row, metadata or payment."""
        if booked is not None:
            return Order.id == booked.order_id
        order = aliased(Order)
        paid_with = select(Payment.order_id).where(Payment.id == stripe_object.get("payment_intent"))
        return Order.id.in_(
            union(select(order.id).where(order.checkout_id == checkout_id_of(stripe_object)), paid_with)
        )

    def _booked_refund_ids(self) -> set[str]:
        """Return the ids of refunds created since the instant, and of all that are under way."""
        recent = and_(self._in_window(Refund.created_at), Refund.created_at <= self._until)
        under_way = [Refund.status.not_in(FINAL)] if self._before is None else []
        found = (select(Refund.id).where(condition) for condition in (recent, *under_way))
        with self._database.read() as session:
            return set(session.scalars(union(*found)))

    def _paid_orders(self) -> Sequence[Order]:
        paid = select(Order).where(self._in_window(Order.paid_at), Order.paid_at <= self._until)
        with self._database.read() as session:
            return session.scalars(paid.options(selectinload(Order.payments)).order_by(Order.paid_at)).all()

    def _in_window(self, column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """Return the SQL condition that a time is in the window of this run."""
        begun: ColumnElement[bool] = column >= self._since
        return begun if self._before is None else and_(begun, column < self._before)

    def _intent_of(self, stripe_session: StripeObject) -> Intent | None:
        return self._stripe.intent(stripe_session["payment_intent"]) if stripe_session["payment_intent"] else None

    def _is_young(self, stripe_session: StripeObject, intent: Intent | None) -> bool:
        """Return True if a change with a known time is younger than `MIN_CHANGE_AGE`.

        Stripe gives no time for a bank's late answer or an early expiry. These count as old.
        """
        changes: list[int] = [stripe_session["created"], intent.tried_at if intent else 0]
        if stripe_session["status"] == "expired" and stripe_session["expires_at"] <= utcnow().timestamp():
            changes.append(stripe_session["expires_at"])
        return max(changes) > self._until.timestamp()


def _pages(items: Iterable[ItemT]) -> Iterator[list[ItemT]]:
    """Yield the items in lists of up to `PAGE_SIZE`, each of which one query can look up."""
    remaining = iter(items)
    while page := list(islice(remaining, PAGE_SIZE)):
        yield page
