"""Refund requests: checked under the order's lock and stored before Stripe is called."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.messaging.event import new_id
from events.money import format_amount, is_valid_amount
from events.web.idempotency import fingerprint
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.errors import InvalidRequestError, KeyReusedError, OrderNotPaidError, RefundExceedsPaymentError
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import RefundRequest, RefundRequestStatus
from orders.models.timeline import EntryKind
from orders.refunds.allocation import amount_of_pieces, count_pieces, goods_amount, refunded_pieces
from orders.shipments import update_fulfillment
from orders.timeline import add_entry, quote
from orders.totals import refundable_amount, succeeded_payments

LEASE = timedelta(minutes=1)  # a call to Stripe takes at most ten seconds; after the lease its process must be dead


@dataclass(frozen=True)
class RefundParams:
    """The parameters of a refund request, amounts in minor units. No amount and no lines: all that is left."""

    amount: int | None = None
    lines: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None
    note: str | None = None
    restock: bool = False
    payment_id: str | None = None


def find_request(session: Session, order: Order, params: RefundParams, key: str) -> RefundRequest | None:
    """Return the request that was stored under this key. Raises `KeyReusedError` if its parameters differ."""
    same_key = select(RefundRequest).where(RefundRequest.order_id == order.id, RefundRequest.idempotency_key == key)
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(params):
        raise KeyReusedError
    return found


def create_request(session: Session, order: Order, params: RefundParams, key: str, actor: str) -> RefundRequest:
    """Check and store a refund request. The order must be locked.

    Raises `OrderNotPaidError`, `InvalidRequestError` and `RefundExceedsPaymentError`.
    """
    payment = _payment(session, order, params)
    refundable = refundable_amount(session, payment)
    refunded = refunded_pieces(session.scalars(select(RefundRequest).where(RefundRequest.order_id == order.id)))
    if params.lines:
        lines = _checked_lines(order, params, refunded)
        goods = goods_amount(order, payment)
        amount = amount_of_pieces(order.lines, goods, payment.currency, refunded, count_pieces(lines))
        if amount == 0:
            raise InvalidRequestError(lines=["These pieces were free. There is nothing to refund."])
    elif params.amount is None:
        lines, amount = _remaining_lines(order, refunded, restock=params.restock), refundable
    else:
        lines, amount = [], params.amount
        if not is_valid_amount(amount, payment.currency):
            rule = "In some currencies amounts must be multiples of 10 or 100."
            raise InvalidRequestError(amount=[f"Stripe does not accept {amount} {payment.currency}. {rule}"])
        if params.restock:
            raise InvalidRequestError(restock=["List in lines the pieces that go back to the shelf."])
    if not 0 < amount <= refundable:
        raise RefundExceedsPaymentError(payment.id, refundable, payment.currency)
    return store_request(session, order, payment, amount, lines, params, key, actor)


def store_request(
    session: Session,
    order: Order,
    payment: Payment,
    amount: int,
    lines: Sequence[Mapping[str, Any]],
    params: RefundParams,
    key: str,
    actor: str,
    *,
    due_at: datetime | None = None,
) -> RefundRequest:
    """Add a refund request of a checked amount, in minor units, to the order and its timeline.

    The worker sends the request at `due_at`. The default is the end of a lease, because the caller sends it now.
    """
    request = RefundRequest(
        id=new_id("rfr"),
        order_id=order.id,
        checkout_id=order.checkout_id,
        idempotency_key=key,
        fingerprint=fingerprint(params),
        payment_id=payment.id,
        status=RefundRequestStatus.REQUESTED,
        currency=payment.currency,
        amount=amount,
        reason=params.reason,
        note=params.note,
        lines=list(lines),
        requested_by=actor,
        attempts=0,
        next_attempt_at=due_at or utcnow() + LEASE,
        created_at=utcnow(),
    )
    session.add(request)
    update_fulfillment(session, order)
    pieces = ", ".join(f"{line['quantity']} x {line['sku']}" for line in lines)
    refund = f"a refund of {format_amount(amount, payment.currency)}" + (f" for {pieces}" if pieces else "")
    text = f"{actor} requested {refund}.{quote(params.note)}"
    add_entry(session, order, Cause.now(request.id), EntryKind.REFUND_REQUESTED, text)
    return request


def _payment(session: Session, order: Order, params: RefundParams) -> Payment:
    payments = succeeded_payments(order)
    if not payments:
        raise OrderNotPaidError(order.number, order.status)
    if params.payment_id is None:
        return next((payment for payment in payments if refundable_amount(session, payment)), payments[0])
    named = next((payment for payment in payments if payment.id == params.payment_id), None)
    if named is None:
        known = ", ".join(payment.id for payment in payments)
        raise InvalidRequestError(payment_id=[f"This order has no such payment. Use one of {known}."])
    return named


def _checked_lines(order: Order, params: RefundParams, refunded: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the lines to store. Raises `InvalidRequestError` for pieces that the order does not have left."""
    bought = {line.sku: line.quantity for line in order.lines}
    errors: dict[int, Any] = {}
    requested: Counter[str] = Counter()
    for number, line in enumerate(params.lines):
        requested[line["sku"]] += line["quantity"]
        left = bought.get(line["sku"], 0) - refunded.get(line["sku"], 0)
        if line["sku"] not in bought:
            errors[number] = {"sku": ["This order has no such item."]}
        elif requested[line["sku"]] > left:
            errors[number] = {"quantity": [f"Only {left} of {bought[line['sku']]} can still be refunded."]}
    if errors:
        raise InvalidRequestError(lines=errors)
    return [
        {"sku": line["sku"], "quantity": line["quantity"], "restock": line.get("restock", params.restock)}
        for line in params.lines
    ]


def _remaining_lines(order: Order, refunded: Mapping[str, int], *, restock: bool) -> list[dict[str, Any]]:
    left = {line.sku: line.quantity - refunded.get(line.sku, 0) for line in order.lines}
    return [{"sku": sku, "quantity": quantity, "restock": restock} for sku, quantity in left.items() if quantity > 0]
