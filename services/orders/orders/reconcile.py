"""Reconciliation: Stripe's sessions, payments and refunds against the orders, to the minor unit.

What no webhook told is seen here, also where Stripe never made the Event. Healing makes the missing event from the
object and promises it in the outbox, so that every service gets it over the bus and handles it as any other. Its id
is the one that checkout's sweep gives it: found by both, it is one event.

Refunds are compared one by one, those of the window and those that are still on their way. One that fails longer
after it was made than the window reaches back is seen with a wider window.
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
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import selectinload

from orders.differences import Difference, compare, differs, money, state
from orders.models import SUCCEEDED, Order, Payment, Refund
from orders.refund_differences import compare_refund
from orders.stripe_client import Intent, Object, StripeRecords, checkout_id_of

YOUNG = timedelta(minutes=2)  # what has just happened may still be on its way


class Reconciliation:
    """Compares what Stripe has made since an instant, and what the orders say was paid since then."""

    def __init__(self, database: Database, stripe: StripeRecords, since: datetime) -> None:
        self._database, self._stripe, self._since = database, stripe, since
        self._settled_before = utcnow() - YOUNG
        self._met: set[str] = set()  # our sessions, and their payment intents
        self._differing: dict[str, Object] = {}  # sessions and refunds by id, to heal from
        self.compared = 0  # sessions of ours

    def differences(self) -> Iterator[Difference]:
        """Raises `stripe.StripeError` when Stripe cannot be asked."""
        intents = {intent.id: intent for intent in self._stripe.intents(self._since) if intent.checkout_id}
        for found in self._stripe.sessions(self._since):
            yield from self._look(found, intents.get(found["payment_intent"] or ""))
        for intent in intents.values():
            if intent.status == SUCCEEDED and intent.id not in self._met:
                yield from self._look_by_intent(intent)
        for order in self._orders_paid():
            yield from self._look_by_order(order)
        listed = {found["id"]: found for found in self._stripe.refunds(self._since)}
        for refund_id in listed.keys() | self._refunds_booked():
            yield from self._look_by_refund(refund_id, listed.get(refund_id))

    def heal(self, difference: Difference) -> Difference:
        """Promise the event that is missing, if one is and was not sent before; `healed_by` tells."""
        about = difference.refund_id or difference.session_id
        if difference.fact is None or about is None:
            return difference
        found = self._differing[about]
        if difference.refund_id:
            stripe_type, event_id = difference.fact, f"evt_recovered_{found['id']}_{found['status']}"
        else:
            stripe_type = f"checkout.session.{difference.fact}"
            event_id = outbox.recovered_event_id(found, difference.fact)
        with self._database.begin() as session:
            sent = session.get(OutboxEvent, event_id)
            if session.get(InboxEvent, event_id) or (sent and sent.published_at):
                text = f"{difference.text} {event_id} was sent before and did not mend it: look at the inbox."
                return replace(difference, text=text)
            session.scalar(for_update(session, select(Order.id).where(Order.checkout_id == difference.checkout_id)))
            outbox.add_recovered_stripe_event(
                session,
                stripe_type,
                found,
                event_id=event_id,
                correlation_id=difference.checkout_id,
                source="orders",
            )
        return replace(difference, healed_by=event_id)

    def _look(self, found: Object, intent: Intent | None) -> Iterator[Difference]:
        """What differs is asked for once more: lists are seconds old, and customers go on."""
        checkout_id = checkout_id_of(found)
        if checkout_id is None:
            return
        self.compared += 1
        self._met |= {found["id"], found["payment_intent"]}
        if self._is_young(found, intent) or not self._compare(checkout_id, found, intent):
            return
        found = self._stripe.session(found["id"]) or found
        intent = self._intent_of(found)
        if not self._is_young(found, intent):
            self._differing[found["id"]] = found
            yield from self._compare(checkout_id, found, intent)

    def _look_by_intent(self, intent: Intent) -> Iterator[Difference]:
        """A payment whose session is older than those listed."""
        found = self._stripe.session_of(intent.id)
        if found is not None and checkout_id_of(found):
            yield from self._look(found, intent)
        elif intent.tried_at <= self._settled_before.timestamp():
            text = (
                f"Stripe took {money(intent.amount_received, intent.currency)} with {intent.id} in no session of ours."
            )
            yield Difference("no-session", text, str(intent.checkout_id), payment_intent=intent.id)

    def _look_by_order(self, order: Order) -> Iterator[Difference]:
        """What an order is paid with must be paid at Stripe too, however old the session is."""
        settled = [payment for payment in order.payments if payment.paid_at]
        if not settled:
            yield differs(order, "not-paid-at-stripe", "the order is paid, but with no payment.")
        for payment in settled:
            if payment.session_id is None or payment.session_id in self._met:
                continue
            found = self._stripe.session(payment.session_id)
            if found is not None and checkout_id_of(found) == order.checkout_id:
                yield from self._look(
                    found, self._stripe.intent(found["payment_intent"]) if found["payment_intent"] else None
                )
            else:
                text = f"the order is paid with {payment.session_id}, which is no session of it at Stripe."
                yield differs(order, "not-paid-at-stripe", text)

    def _look_by_refund(self, refund_id: str, found: Object | None) -> Iterator[Difference]:
        """What differs is asked for once more: a webhook may have been handled since the list was read."""
        if found and found["created"] > self._settled_before.timestamp():
            return
        if found is None or self._compare_refund(refund_id, found):
            found = self._stripe.refund(refund_id)
            if found is not None:
                self._differing[refund_id] = found
            yield from self._compare_refund(refund_id, found)

    def _compare_refund(self, refund_id: str, found: Object | None) -> Sequence[Difference]:
        with self._database.read() as session:
            booked = session.get(Refund, refund_id)
            order = session.scalar(select(Order).where(self._owns(booked, found or {})))
        return list(compare_refund(order, booked, found)) if order else []

    def _owns(self, booked: Refund | None, found: Object) -> ColumnElement[bool]:
        """Of a refund: made in the dashboard it has no metadata, but a payment."""
        if booked is not None:
            return Order.id == booked.order_id
        paid_with = select(Payment.order_id).where(Payment.id == found.get("payment_intent"))
        return or_(Order.checkout_id == checkout_id_of(found), Order.id.in_(paid_with))

    def _refunds_booked(self) -> set[str]:
        """Those of the window, and those on their way, however old."""
        recent = and_(Refund.created_at >= self._since, Refund.created_at <= self._settled_before)
        moving = Refund.status.in_(("pending", "requires_action"))
        with self._database.read() as session:
            return set(session.scalars(select(Refund.id).where(or_(recent, moving))))

    def _compare(self, checkout_id: str, found: Object, intent: Intent | None) -> Sequence[Difference]:
        whole = select(Order).where(Order.checkout_id == checkout_id).options(selectinload(Order.payments))
        with self._database.read() as session:
            order = session.scalar(whole)
        if order is not None:
            return list(compare(order, found, intent))
        text = f"{found['id']} is {state(found)} at Stripe, but its checkout.checkout.started never came."
        where = {"session_id": found["id"], "payment_intent": found["payment_intent"]}
        return [Difference("no-order", text, checkout_id, **where)]

    def _orders_paid(self) -> Sequence[Order]:
        paid = select(Order).where(Order.paid_at >= self._since, Order.paid_at <= self._settled_before)
        with self._database.read() as session:
            return session.scalars(paid.options(selectinload(Order.payments)).order_by(Order.paid_at)).all()

    def _intent_of(self, found: Object) -> Intent | None:
        return self._stripe.intent(found["payment_intent"]) if found["payment_intent"] else None

    def _is_young(self, found: Object, intent: Intent | None) -> bool:
        """By the changes that bear a time: a bank's late answer and an early expiry do not, and count as old."""
        changes: list[int] = [found["created"], intent.tried_at if intent else 0]
        if found["status"] == "expired" and found["expires_at"] <= utcnow().timestamp():
            changes.append(found["expires_at"])
        return max(changes) > self._settled_before.timestamp()
