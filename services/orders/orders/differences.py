"""How an order may differ from its session at Stripe, and which missing event explains it."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from events.clock import utcnow
from events.messaging.event import STRIPE, Event

from orders import guards
from orders.models import FAILED, OPEN, PAID, PENDING, SUCCEEDED, Order, Payment
from orders.stripe_client import Intent, Object

FULFILS = ("paid", "no_payment_required")  # payment statuses of a session
GIVEN_UP = ("requires_payment_method", "canceled")  # of the payment intent of a complete session: the method failed

COMPLETED, EXPIRED = "completed", "expired"
ASYNC_SUCCEEDED, ASYNC_FAILED = "async_payment_succeeded", "async_payment_failed"
KNOWN_BY = {  # an order of one of these statuses has learned the fact, or a stronger one
    COMPLETED: (PENDING, FAILED, PAID),
    ASYNC_FAILED: (FAILED, PAID),
}


@dataclass(frozen=True)
class Difference:
    """One thing on which Stripe and the orders do not agree.

    `fact` is the event (of the session, or `refund.updated`) that would mend it, None where none would; `healed_by`
    the id of the one promised.
    """

    kind: str
    text: str
    checkout_id: str
    order: str | None = None
    session_id: str | None = None
    payment_intent: str | None = None
    refund_id: str | None = None
    fact: str | None = None
    healed_by: str | None = None


def compare(order: Order, found: Object, intent: Intent | None) -> Iterator[Difference]:
    """How the order differs from one of its sessions as found at Stripe, with the session's payment intent."""
    payment = _payment(order, found)
    if found["status"] == "complete" and found["payment_status"] in FULFILS:
        if payment is None or payment.paid_at is None:
            fact = COMPLETED if order.pending_at is None else ASYNC_SUCCEEDED  # a pending one has seen its completion
            text = f"paid at Stripe with {found['id']}, {money(found['amount_total'], found['currency'])},"
            yield differs(order, "not-paid", f"{text} but the order is {order.status}.", found, fact)
        else:
            yield from _compare_paid(order, payment, found, intent)
    elif payment is not None and payment.paid_at is not None:
        text = f"the order is paid with {found['id']}, which is {state(found)} at Stripe."
        yield differs(order, "not-paid-at-stripe", text, found)
    elif intent is not None and intent.status == SUCCEEDED:
        taken = money(intent.amount_received, intent.currency)
        text = f"Stripe took {taken} with {intent.id}, but {found['id']} is {state(found)}."
        yield differs(order, "charged-unpaid", text, found)
    elif end := _missing_end(order, found, intent):
        text = f"{found['id']} is {state(found)} at Stripe, but the order is {order.status}: {end} never came."
        yield differs(order, f"not-{end.replace('_', '-')}", text, found, end)


def differs(order: Order, kind: str, text: str, found: Object | None = None, fact: str | None = None) -> Difference:
    found = found or {}
    ids = {"session_id": found.get("id"), "payment_intent": found.get("payment_intent")}
    return Difference(kind, text, order.checkout_id, order.number, **ids, fact=fact)


def money(amount: int, currency: str) -> str:
    """In the minor unit, in which everything is compared."""
    return f"{amount} {currency}"


def state(found: Object) -> str:
    return str(found["status"]) if found["status"] != "complete" else f"complete and {found['payment_status']}"


def _payment(order: Order, found: Object) -> Payment | None:
    """What the order was told that this session is paid with."""
    ids = (found["payment_intent"], found["id"])
    return next((payment for payment in order.payments if payment.session_id == found["id"] or payment.id in ids), None)


def _compare_paid(order: Order, payment: Payment, found: Object, intent: Intent | None) -> Iterator[Difference]:
    booked = money(payment.amount, payment.currency)
    if booked != (wanted := money(found["amount_total"], found["currency"])):
        text = f"{found['id']} is paid with {wanted} at Stripe, but {booked} are booked."
        yield differs(order, "payment-differs", text, found)
    if intent is not None and booked != (taken := money(intent.amount_received, intent.currency)):
        yield differs(order, "charge-differs", f"Stripe took {taken} with {intent.id}, but {booked} are booked.", found)
    review = guards.review(order, _completion(found))
    if review and review[0] != order.review_reason:  # else a person has been told
        yield differs(order, review[0], f"{found['id']}: {review[1]}", found)
    if order.status != PAID:
        yield differs(order, "not-paid", f"{payment.id} is booked as paid, but the order is {order.status}.", found)


def _missing_end(order: Order, found: Object, intent: Intent | None) -> str | None:
    """The end of an unpaid session that the order does not know."""
    if found["status"] == "expired":
        return EXPIRED if order.status == OPEN else None
    if found["status"] != "complete":
        return None
    fact = ASYNC_FAILED if intent is not None and intent.status in GIVEN_UP else COMPLETED
    return None if order.status in KNOWN_BY[fact] else fact


def _completion(found: Object) -> Event:
    """As the guards take it."""
    body = orjson.dumps({"data": {"object": found}})
    return Event(found["id"], f"{STRIPE}checkout.session.{COMPLETED}", "orders", utcnow(), body)
