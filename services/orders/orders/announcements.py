"""What an order tells the other services, and its own timeline. Call it once per fact."""

from typing import Any

from events import outbox
from events.database import insert_once
from events.envelope import Event
from sqlalchemy.orm import Session

from orders.models import Order, TimelineEntry

SNAPSHOT = (
    "number",
    "checkout_id",
    "session_id",
    "payment_intent",
    "currency",
    "amount_subtotal",
    "amount_discount",
    "amount_shipping",
    "amount_total",
    "customer_email",
    "customer_name",
    "locale",
)
LINE = ("sku", "name", "quantity", "unit_amount", "amount_total")


def announce(session: Session, order: Order, event_type: str, cause: Event, **more: Any) -> None:
    """Promise an event with the order as it stands now; `more` are the fields of this event alone."""
    data = {
        "order_id": order.id,
        **{name: getattr(order, name) for name in SNAPSHOT},
        "lines": [{name: getattr(line, name) for name in LINE} for line in order.lines],
        "occurred_at": cause.occurred_at,
        **more,
    }
    outbox.add(session, event_type, data, correlation_id=order.checkout_id, causation=cause)


def open_review(session: Session, order: Order, reason: str, detail: str, cause: Event) -> None:
    """Leave an order to a person."""
    order.open_review(reason, detail)
    note(session, order, cause, "review", f"Needs a decision ({reason}): {detail}")
    announce(session, order, "orders.review.opened", cause, reason=reason, detail=detail)


def note(session: Session, order: Order, event: Event, kind: str, text: str) -> None:
    """Write on the order's timeline; once per event and kind."""
    entry = {"order_id": order.id, "at": event.occurred_at, "kind": kind, "text": text, "event_id": event.id}
    insert_once(session, TimelineEntry, **entry)
