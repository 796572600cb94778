"""Idempotency keys of review decisions and cancellations. Refund requests and shipments have a column for the key."""

from dataclasses import dataclass
from typing import Any

from events.clock import utcnow
from events.web.idempotency import fingerprint
from sqlalchemy.orm import Session

from orders.errors import KeyReusedError
from orders.models.operator_acts import OperatorAct
from orders.models.orders import Order


@dataclass(frozen=True)
class Act:
    """An operator's decision: `name` is `review` or `cancel`, `params` are the parameters of the request.

    All requests about one order with one idempotency key must have the same name and parameters.
    """

    name: str
    params: Any


def record_act(session: Session, order: Order, act: Act, key: str | None, actor: str) -> bool:
    """Store the act under its key; return False for a repeat. Without a key, store nothing and return True.

    The order must be locked. Raises `KeyReusedError` if the order has a different act under this key.
    """
    if key is None:
        return True
    known = session.get(OperatorAct, (order.id, key))
    if known is None:
        session.add(
            OperatorAct(
                order_id=order.id, idempotency_key=key, fingerprint=fingerprint(act), actor=actor, acted_at=utcnow()
            )
        )
        return True
    if known.fingerprint != fingerprint(act):
        raise KeyReusedError
    return False
