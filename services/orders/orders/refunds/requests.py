"""Refund requests: checked under the order's lock and stored before Stripe is called."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.messaging.event import new_id
from events.money import SUPPORTED, format_amount, is_valid_amount
from events.money import step as step_of
from events.web.idempotency import fingerprint
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.errors import (
    DisputedRefundError,
    InvalidRequestError,
    KeyReusedError,
    OrderNotPaidError,
    RefundExceedsPaymentError,
)
from orders.goods import Goods, count_pieces, load_goods, succeeded_payments, update_fulfillment
from orders.models.orders import Order, OrderStatus
from orders.models.payments import Payment
from orders.models.refunds import RefundRequest, RefundRequestStatus
from orders.models.timeline import EntryKind
from orders.refunds.allocation import amount_of_pieces, goods_amount
from orders.returns import publish_returns
from orders.timeline import add_entry, format_note
from orders.totals import refundable_amount

SENDING_LEASE = timedelta(minutes=1)  # a call to Stripe takes at most ten seconds; after the lease its process is dead
KEY_SEPARATOR = " "  # no client's Idempotency-Key has it
UNSUPPORTED_CURRENCY = "The currency of this payment is not supported, so"


@dataclass(frozen=True)
class RefundParams:
    """The parameters of a refund request: `all` that is left, an `amount` in minor units, or `lines`.

    Lines `without_money` only record the pieces, for a free order or for money that was refunded in the dashboard.
    """

    all: bool = False
    amount: int | None = None
    lines: Sequence[Mapping[str, Any]] = ()
    without_money: bool = False
    reason: str | None = None
    note: str | None = None
    restock: bool = False
    payment_id: str | None = None


def find_request(session: Session, order: Order, params: RefundParams, key: str) -> RefundRequest | None:
    """Return the request that was stored under this key, or None. Raises `KeyReusedError` if its parameters differ."""
    same_key = select(RefundRequest).where(RefundRequest.order_id == order.id, RefundRequest.idempotency_key == key)
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(params):
        raise KeyReusedError
    return found


def create_request(session: Session, order: Order, params: RefundParams, key: str, actor: str) -> RefundRequest:
    """Check and store a refund request; the caller or the worker sends it to Stripe. The order must be locked.

    Lines belong to the payment that paid the order. Raises `OrderNotPaidError`, `InvalidRequestError`,
    `DisputedRefundError` and `RefundExceedsPaymentError`.
    """
    payments = succeeded_payments(order)
    if not payments or (params.lines and order.status != OrderStatus.PAID):
        raise OrderNotPaidError(order.number, order.status)
    payment, owner = _named_payment(payments, params), payments[0]
    if payment is not owner and (params.lines or params.restock):
        belongs = f"The order's pieces belong to the payment {owner.id}."
        if params.lines:
            raise InvalidRequestError(lines=[f"{belongs} Send this payment_id, or leave it out."])
        raise InvalidRequestError(restock=[f"{belongs} Leave restock out."])
    if not params.without_money:
        check_disputes(order, {payment.id})
    refundable, goods = refundable_amount(session, payment), load_goods(order)
    lines: list[dict[str, Any]] = []
    if params.lines:
        lines = _checked_lines(goods, params)
        amount = 0 if params.without_money else _amount_of_lines(order, payment, goods, lines)
    elif params.all:
        lines = remaining_lines(goods, restock=params.restock) if payment is owner else []
        amount = refundable
    else:
        amount = _checked_amount(params, payment)
    if not params.without_money and not 0 < amount <= refundable:
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

    A request of the amount 0 only records pieces, and succeeds immediately. The worker sends any other request at
    `due_at`. The default is the end of a lease, for a caller that sends the request itself.
    """
    request = RefundRequest(
        id=new_id("rfr"),
        order_id=order.id,
        checkout_id=order.checkout_id,
        idempotency_key=key,
        fingerprint=fingerprint(params),
        payment_id=payment.id,
        status=RefundRequestStatus.REQUESTED if amount else RefundRequestStatus.SUCCEEDED,
        currency=payment.currency,
        amount=amount,
        reason=params.reason,
        note=params.note,
        lines=list(lines),
        requested_by=actor,
        attempts=0,
        next_attempt_at=(due_at or utcnow() + SENDING_LEASE) if amount else None,
        created_at=utcnow(),
    )
    order.refund_requests.append(request)
    update_fulfillment(session, order)
    add_entry(session, order, Cause.now(request.id), EntryKind.REFUND_REQUESTED, _entry_text(request, params))
    if not amount:
        publish_returns(session, order, request)
    return request


def request_rest(
    session: Session,
    order: Order,
    cause: Cause,
    params: RefundParams,
    actor: str,
    *,
    payments: Collection[str] | None = None,
    due_at: datetime | None = None,
) -> list[RefundRequest]:
    """Store and return one refund request for the refundable rest of each succeeded payment.

    With `payments`, only these payments get one. The requests have no lines. The order must be locked.
    """
    requests = []
    for payment in succeeded_payments(order):
        if payments is not None and payment.id not in payments:
            continue
        if amount := refundable_amount(session, payment):
            key = decision_key(cause.id, payment.id)
            requests.append(store_request(session, order, payment, amount, [], params, key, actor, due_at=due_at))
    return requests


def decision_key(decision_id: str, about: str) -> str:
    """Return the key of a refund request that follows from a decision or a cancellation: `decision_id`, space, `about`.

    A client's Idempotency-Key has no space (`KeyHeader`), so it never equals such a key.
    """
    return f"{decision_id}{KEY_SEPARATOR}{about}"


def check_disputes(order: Order, payments: Collection[str] | None = None) -> None:
    """Raise `DisputedRefundError` while a chargeback of the order's payments, or of those in `payments`, is open.

    Stripe then refuses every refund, so neither a refund request nor a decision to refund may be stored.
    """
    if has_open_chargeback(order, payments):
        raise DisputedRefundError(order.number, _way_out(order))


def _way_out(order: Order) -> str | None:
    """Return how an operator can still end the fulfillment without a refund: `review`, `cancel`, or None for no way."""
    if order.status != OrderStatus.PAID or order.fulfillment_canceled_at is not None or not order.pieces_owed:
        return None
    if order.needs_review:
        return "review"
    return None if any(load_goods(order).shipped.values()) else "cancel"


def has_open_chargeback(order: Order, payments: Collection[str] | None = None) -> bool:
    """Return True while a chargeback of the order's payments, or of those in `payments`, is open."""
    return any(each.blocks_refunds for each in order.disputes if payments is None or each.payment_id in payments)


def remaining_lines(goods: Goods, *, restock: bool) -> list[dict[str, Any]]:
    """Return refund lines for all pieces that no earlier refund line contains."""
    shipped, unshipped = goods.refundable_shipped, goods.refundable_unshipped
    left = {sku: (shipped.get(sku, 0), unshipped[sku]) for sku in goods.bought}
    return [
        {"sku": sku, "quantity": sum(pieces), "restock": restock, "unshipped": pieces[1]}
        for sku, pieces in left.items()
        if any(pieces)
    ]


def _entry_text(request: RefundRequest, params: RefundParams) -> str:
    """Return the timeline's sentence. A request of the amount 0 only records pieces, or that pieces will not ship."""
    pieces = ", ".join(f"{line['quantity']} x {line['sku']}" for line in request.lines)
    if not request.amount:
        recorded = f"{pieces} without a refund of money" if params.without_money else f"that {pieces} will not ship"
        return f"{request.requested_by} recorded {recorded}.{format_note(request.note)}"
    refund = f"a refund of {format_amount(request.amount, request.currency)}" + (f" for {pieces}" if pieces else "")
    return f"{request.requested_by} requested {refund}.{format_note(request.note)}"


def _named_payment(payments: Sequence[Payment], params: RefundParams) -> Payment:
    """Return the payment that the request names. The default is the payment that paid the order."""
    if params.payment_id is None:
        return payments[0]
    named = next((payment for payment in payments if payment.id == params.payment_id), None)
    if named is None:
        usable = payments[:1] if params.lines or params.restock else payments  # the first one has the order's pieces
        ids = " or ".join(payment.id for payment in usable)
        raise InvalidRequestError(payment_id=[f"This order has no succeeded payment {params.payment_id}. Use {ids}."])
    return named


def _checked_amount(params: RefundParams, payment: Payment) -> int:
    amount = params.amount or 0
    if payment.currency not in SUPPORTED:  # its step is unknown, and `xxx` is no currency at all
        advice = "Send all: true instead, or refund in Stripe's dashboard."
        raise InvalidRequestError(amount=[f"{UNSUPPORTED_CURRENCY} the amount cannot be checked. {advice}"])
    if not is_valid_amount(amount, payment.currency):
        step, code = step_of(payment.currency), payment.currency.upper()
        raise InvalidRequestError(
            amount=[f"Send a multiple of {step} minor units: Stripe accepts no other amount in {code}."]
        )
    if params.restock:
        raise InvalidRequestError(
            restock=["Leave restock out, or send lines instead of an amount: they name the pieces."]
        )
    return amount


def _amount_of_lines(order: Order, payment: Payment, goods: Goods, lines: Sequence[Mapping[str, Any]]) -> int:
    if payment.currency not in SUPPORTED:
        dashboard = "refund in Stripe's dashboard and record the lines with without_money: true."
        raise InvalidRequestError(
            lines=[f"{UNSUPPORTED_CURRENCY} the amount of the lines is unknown. Send all: true instead, or {dashboard}"]
        )
    paid = goods_amount(order, payment)
    amount = amount_of_pieces(order.lines, paid, payment.currency, goods.refunded, count_pieces(lines))
    if amount == 0:
        text = "The amount of these pieces is 0. To record them without money, send without_money: true."
        raise InvalidRequestError(lines=[text])
    return amount


def _checked_lines(goods: Goods, params: RefundParams) -> list[dict[str, Any]]:
    """Return the lines to store. Raises `InvalidRequestError` for pieces that the order does not have left.

    Where a line does not say how many of its pieces are `unshipped`, the refund takes shipped pieces first.
    """
    shipped, unshipped = Counter(goods.refundable_shipped), Counter(goods.refundable_unshipped)
    errors: dict[int, Any] = {}
    lines: list[dict[str, Any]] = []
    for number, line in enumerate(params.lines):
        sku, quantity = line["sku"], line["quantity"]
        left = shipped[sku] + unshipped[sku]
        own = line.get("unshipped", max(0, quantity - shipped[sku]))
        if sku not in goods.bought:
            errors[number] = {"sku": ["This order has no such item."]}
        elif quantity > left:
            errors[number] = {"quantity": [f"Only {left} of {goods.bought[sku]} can still be refunded."]}
        elif own > min(quantity, unshipped[sku]) or quantity - own > shipped[sku]:
            least, most = max(0, quantity - shipped[sku]), min(quantity, unshipped[sku])
            allowed = f"{most}" if least == most else f"a number from {least} to {most}"
            known = f"{unshipped[sku]} unshipped and {shipped[sku]} shipped pieces can still be refunded"
            errors[number] = {"unshipped": [f"Send {allowed}: {known}."]}
        else:
            shipped[sku] -= quantity - own
            unshipped[sku] -= own
            restock = line.get("restock", params.restock)
            lines.append({"sku": sku, "quantity": quantity, "restock": restock, "unshipped": own})
    if errors:
        raise InvalidRequestError(lines=errors)
    return lines
