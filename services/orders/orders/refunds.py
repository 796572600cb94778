"""Refunds as Stripe tells of them: by events that overlap, by the answer to our call, by reconciliation.

Whoever comes first books the refund, by its id; the rest changes nothing. `charge.refunded` bears only a cumulative
sum, and no list: it is not counted.
"""

from typing import Any

from events.database.notify import increment_after_commit
from events.database.transaction import insert_once
from events.messaging import outbox
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy.orm import Session

from orders.announcements import Cause, amount_text, announce, note
from orders.models import SUCCEEDED, Order, Refund, RefundIntention
from orders.models.money import REFUND_OVER, REFUND_STATUSES
from orders.shipments import derive_fulfillment
from orders.stripe_client import moment
from orders.sums import derive_sums

TOLD = {"succeeded": "orders.refund.succeeded", "failed": "orders.refund.failed", "canceled": "orders.refund.failed"}

REFUNDS = Counter("clozit_refunds_total", "Changes of refunds' status, by what they became", ["status"])
from_zero(REFUNDS, REFUND_STATUSES)

log = get_logger(__name__)


def record_refund(session: Session, order: Order, obj: dict[str, Any], cause: Cause) -> Refund:
    """Book what is said of a refund. `obj` is Stripe's refund; the order is locked."""
    intention = _intention(session, order, obj)
    new = insert_once(
        session,
        Refund,
        id=obj["id"],
        order_id=order.id,
        payment_id=obj["payment_intent"],
        intention_id=intention.id if intention else None,
        status=obj["status"],
        currency=obj["currency"],
        amount=obj["amount"],
        reason=obj.get("reason"),
        failure_reason=obj.get("failure_reason"),
        created_at=moment(obj["created"]),
    )
    if new:
        session.expire(order, ["refunds"])
    refund = session.get_one(Refund, obj["id"])
    changed = refund.become(obj["status"], obj.get("failure_reason")) or new
    if intention:
        _answer(session, order, intention, refund, said=obj["status"])
    if changed:
        increment_after_commit(session, REFUNDS.labels(refund.status))
        derive_sums(order)
        derive_fulfillment(session, order)
        note(session, order, cause, f"refund-{refund.status}", _sentence(order, refund, intention))
        if refund.status in TOLD:
            _announce(session, order, refund, cause)
    return refund


def _intention(session: Session, order: Order, obj: dict[str, Any]) -> RefundIntention | None:
    """Ours, by the metadata that we gave it; metadata can be copied by hand, so the order has to fit."""
    intention_id = (obj.get("metadata") or {}).get("refund_request")
    found = session.get(RefundIntention, intention_id) if intention_id else None
    return found if found is not None and found.order_id == order.id else None


def _answer(session: Session, order: Order, intention: RefundIntention, refund: Refund, said: str) -> None:
    if not intention.answer(refund):
        log.error("one intention was refunded twice", intention=intention.id, refund=refund.id)
        return
    if said in REFUND_OVER:
        return
    if lines := intention.return_stock():
        data = {"order_id": order.id, "checkout_id": order.checkout_id, "return_id": intention.id, "lines": lines}
        outbox.add(session, "orders.stock.returned", data, correlation_id=order.checkout_id)


def _announce(session: Session, order: Order, refund: Refund, cause: Cause) -> None:
    told = {
        "refund_id": refund.id,
        "refund_status": refund.status,
        "refund_amount": refund.amount,
        "amount_refunded": order.amount_refunded,
        "failure_reason": refund.failure_reason,
    }
    announce(session, order, TOLD[refund.status], cause, **told)


def _sentence(order: Order, refund: Refund, intention: RefundIntention | None) -> str:
    amount = amount_text(refund.amount, refund.currency)
    by = f"asked for by {intention.requested_by}" if intention else "made in Stripe's dashboard"
    if refund.status == SUCCEEDED:
        so_far = amount_text(order.amount_refunded, order.currency)
        return f"{amount} went back to the customer ({refund.id}, {by}); {so_far} so far."
    if refund.status == "requires_action":
        return (
            f"A refund of {amount} waits for the customer, whom Stripe has asked where to send it ({refund.id}, {by})."
        )
    if refund.status == "pending":
        return f"A refund of {amount} is on its way to the customer ({refund.id}, {by})."
    if refund.status == "canceled":
        return f"The refund of {amount} was canceled: the customer did not get the money ({refund.id}, {by})."
    why = f" ({refund.failure_reason})" if refund.failure_reason else ""
    ask = "the money is with the shop again. Pay the customer another way"
    return f"The refund of {amount} failed{why}: {ask} ({refund.id}, {by})."
