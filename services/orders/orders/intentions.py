"""An operator's wish to refund, checked under the order's lock and stored before Stripe hears of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.messaging.event import new_id
from events.money import is_valid_amount
from events.web.idempotency import fingerprint, key_reused
from events.web.problems import Problem, invalid_request
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.announcements import Cause, amount_text, note
from orders.models import REQUESTED, Order, Payment, RefundIntention
from orders.shares import pieces_of, refunded_pieces, worth
from orders.shipments import derive_fulfillment
from orders.sums import payments_of, refundable

LEASE = timedelta(minutes=1)  # a call to Stripe takes ten seconds at most; whoever has not recorded it by then is dead


@dataclass(frozen=True)
class RefundWish:
    """What the operator's request says; amounts in minor units. Neither amount nor lines: all that is left."""

    amount: int | None = None
    lines: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None
    note: str | None = None
    restock: bool = False
    payment: str | None = None


def intention_of(session: Session, order: Order, wish: RefundWish, key: str) -> RefundIntention | None:
    """What was asked for under this key before. Raises `Problem` 409 if it was something else."""
    same_key = select(RefundIntention).where(
        RefundIntention.order_id == order.id, RefundIntention.idempotency_key == key
    )
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(wish):
        raise key_reused()
    return found


def intend(session: Session, order: Order, wish: RefundWish, key: str, actor: str) -> RefundIntention:
    """Store what is to be refunded. Raises `Problem` where more is asked for than there is."""
    payment = _payment(session, order, wish)
    left = refundable(session, payment)
    known = _intentions(session, order)
    if wish.lines:
        lines = _checked(order, wish, refunded_pieces(known))
        amount = worth(
            order.lines, goods_paid(order, payment), payment.currency, refunded_pieces(known), pieces_of(lines)
        )
        if amount == 0:
            raise invalid_request(lines=["Nothing was paid for these."])
    elif wish.amount is None:
        lines, amount = _rest(order, refunded_pieces(known), restock=wish.restock), left
    else:
        lines, amount = [], wish.amount
        if not is_valid_amount(amount, payment.currency):
            raise invalid_request(amount=[f"Stripe does not take {amount} {payment.currency}: see its special cases."])
        if wish.restock:
            raise invalid_request(restock=["Name the lines that go back to the shelf."])
    if not 0 < amount <= left:
        raise _exceeds(payment, amount, left)
    return store(session, order, payment, amount, lines, wish, key, actor)


def store(
    session: Session,
    order: Order,
    payment: Payment,
    amount: int,
    lines: Sequence[Mapping[str, Any]],
    wish: RefundWish,
    key: str,
    actor: str,
    *,
    due: datetime | None = None,
) -> RefundIntention:
    """`due`: when the worker takes it up; by default once the caller, who asks Stripe at once, must have died."""
    intention = RefundIntention(
        id=new_id("rfi"),
        order_id=order.id,
        checkout_id=order.checkout_id,
        idempotency_key=key,
        fingerprint=fingerprint(wish),
        payment_id=payment.id,
        status=REQUESTED,
        currency=payment.currency,
        amount=amount,
        reason=wish.reason,
        note=wish.note,
        lines=list(lines),
        requested_by=actor,
        attempts=0,
        next_attempt_at=due or utcnow() + LEASE,
        created_at=utcnow(),
    )
    session.add(intention)
    derive_fulfillment(session, order)
    of = "".join(f", {line['quantity']} x {line['sku']}" for line in lines)
    why = f" “{wish.note}”" if wish.note else ""
    text = f"{actor} asked for a refund of {amount_text(amount, payment.currency)}{of}.{why}"
    note(session, order, Cause.now(intention.id), "refund-requested", text)
    return intention


def goods_paid(order: Order, payment: Payment) -> int:
    """What was paid for the goods alone, the taxes on top of them included."""
    return max(0, payment.amount - order.amount_shipping)


def _payment(session: Session, order: Order, wish: RefundWish) -> Payment:
    payments = payments_of(order)
    if not payments:
        raise Problem(409, "order-not-paid", f"Nobody has paid order {order.number}: there is nothing to refund.")
    if wish.payment is None:
        return next((payment for payment in payments if refundable(session, payment)), payments[0])
    named = next((payment for payment in payments if payment.id == wish.payment), None)
    if named is None:
        known = ", ".join(payment.id for payment in payments)
        raise invalid_request(payment=[f"Not a payment of this order; it has {known}."])
    return named


def _checked(order: Order, wish: RefundWish, done: Mapping[str, int]) -> list[dict[str, Any]]:
    """The lines as they are kept. Raises `Problem` 422 for pieces that the order does not have, or not any more."""
    bought = {line.sku: line.quantity for line in order.lines}
    errors: dict[int, Any] = {}
    asked: Counter[str] = Counter()
    for number, line in enumerate(wish.lines):
        asked[line["sku"]] += line["quantity"]
        left = bought.get(line["sku"], 0) - done.get(line["sku"], 0)
        if line["sku"] not in bought:
            errors[number] = {"sku": ["Not in this order."]}
        elif asked[line["sku"]] > left:
            errors[number] = {"quantity": [f"Only {left} of {bought[line['sku']]} are not refunded yet."]}
    if errors:
        raise invalid_request(lines=errors)
    return [
        {"sku": line["sku"], "quantity": line["quantity"], "restock": line.get("restock", wish.restock)}
        for line in wish.lines
    ]


def _rest(order: Order, done: Mapping[str, int], *, restock: bool) -> list[dict[str, Any]]:
    left = {line.sku: line.quantity - done.get(line.sku, 0) for line in order.lines}
    return [{"sku": sku, "quantity": quantity, "restock": restock} for sku, quantity in left.items() if quantity > 0]


def _intentions(session: Session, order: Order) -> Sequence[RefundIntention]:
    return session.scalars(select(RefundIntention).where(RefundIntention.order_id == order.id)).all()


def _exceeds(payment: Payment, amount: int, left: int) -> Problem:
    wanted, rest = amount_text(amount, payment.currency), amount_text(left, payment.currency)
    detail = (
        f"{wanted} is more than can be refunded of {payment.id}: {rest} is left, what is asked for and disputed aside."
    )
    if left == 0:
        detail = f"Nothing is left to refund of {payment.id}: all is refunded, asked for or taken back by a dispute."
    return Problem(422, "refund-exceeds-payment", detail, refundable=left, currency=payment.currency)
