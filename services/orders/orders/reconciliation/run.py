"""One reconciliation run: compares Stripe's objects since an instant with the orders, and yields the differences.

To repair a difference, it makes the missing event from the object at Stripe and adds it to the outbox. So every service
gets the event through RabbitMQ and handles it as any other. Checkout's sweeper derives the same event id for the same
change of a session. So the services handle one event, even if reconciliation and the sweeper both publish it.

Refunds and disputes are compared one by one: those since the instant, and all that are under way. To find a refund
that failed long after it was created, or an old dispute that was appealed, use an earlier instant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update
from events.messaging import outbox
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from sqlalchemy import ColumnElement, and_, select, union
from sqlalchemy.orm import aliased, selectinload

from orders.models.disputes import CLOSED, Dispute
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import FINAL, Refund
from orders.reconciliation.difference import Difference, describe_amount
from orders.reconciliation.disputes import compare_dispute, recovered_dispute_event_id
from orders.reconciliation.refunds import compare_refund
from orders.reconciliation.sessions import SUCCEEDED, SUFFIXES, compare_session, session_difference, status_text
from orders.reconciliation.stripe import Intent, StripeRecords
from orders.stripe_objects import UNKNOWN_STATUS, StripeObject, checkout_id_of

COMPARED = (selectinload(Order.payments), selectinload(Order.reviews))  # what comparisons read beside the order
MIN_CHANGE_AGE = timedelta(minutes=2)  # events of younger changes may still be on their way


class Reconciliation:
    """A comparison of the objects that Stripe created since an instant, and of the orders paid since then."""

    def __init__(self, database: Database, stripe: StripeRecords, since: datetime) -> None:
        self._database, self._stripe, self._since = database, stripe, since
        self._until = utcnow() - MIN_CHANGE_AGE
        self._seen: set[str] = set()  # ids of our sessions and of their payment intents
        self._objects: dict[str, StripeObject] = {}  # sessions and refunds with differences by id, to repair from
        self.compared = 0  # sessions of ours

    def differences(self) -> Iterator[Difference]:
        """Yield every difference. Raises `stripe.StripeError` if a call to Stripe fails."""
        intents = {intent.id: intent for intent in self._stripe.intents(self._since) if intent.checkout_id}
        for stripe_session in self._stripe.sessions(self._since):
            yield from self._compare_session(stripe_session, intents.get(stripe_session["payment_intent"] or ""))
        for intent in intents.values():
            if intent.status == SUCCEEDED and intent.id not in self._seen:
                yield from self._compare_intent(intent)
        for order in self._paid_orders():
            yield from self._compare_paid_order(order)
        refunds = {refund["id"]: refund for refund in self._stripe.refunds(self._since)}
        for refund_id in refunds.keys() | self._booked_refund_ids():
            yield from self._compare_refund(refund_id, refunds.get(refund_id))
        disputes = {dispute["id"]: dispute for dispute in self._stripe.disputes(self._since)}
        for dispute_id in disputes.keys() | self._booked_dispute_ids():
            yield from self._compare_dispute(dispute_id, disputes.get(dispute_id))

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

    def _compare_session(self, stripe_session: StripeObject, intent: Intent | None) -> Iterator[Difference]:
        """Yield the differences of a session. Fetch a session with differences again first: lists are seconds old."""
        checkout_id = checkout_id_of(stripe_session)
        if checkout_id is None:
            return
        self.compared += 1
        self._seen |= {stripe_session["id"], stripe_session["payment_intent"]}
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
        conditions = (Dispute.opened_at >= self._since, Dispute.status_at >= self._since, Dispute.status.not_in(CLOSED))
        found = (select(Dispute.id).where(condition, Dispute.opened_at <= self._until) for condition in conditions)
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
        recent = and_(Refund.created_at >= self._since, Refund.created_at <= self._until)
        found = (select(Refund.id).where(condition) for condition in (recent, Refund.status.not_in(FINAL)))
        with self._database.read() as session:
            return set(session.scalars(union(*found)))

    def _paid_orders(self) -> Sequence[Order]:
        paid = select(Order).where(Order.paid_at >= self._since, Order.paid_at <= self._until)
        with self._database.read() as session:
            return session.scalars(paid.options(selectinload(Order.payments)).order_by(Order.paid_at)).all()

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
