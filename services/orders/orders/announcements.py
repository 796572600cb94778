"""What an order tells the other services, and its own timeline. Call it once per fact."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events import money
from events.clock import utcnow
from events.database.transaction import defer_insert
from events.messaging import outbox
from events.messaging.event import Event
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


@dataclass(frozen=True)
class Cause:
    """What brought a change about: an event, or (then `event` is None) a person, or Stripe's answer to a call."""

    id: str
    at: datetime
    event: Event | None = None

    @classmethod
    def of(cls, event: Event) -> "Cause":
        return cls(event.id, event.occurred_at, event)

    @classmethod
    def now(cls, about: str) -> "Cause":
        return cls(about, utcnow())


def announce(session: Session, order: Order, event_type: str, cause: Cause, **more: Any) -> None:
    """Promise an event with the order as it stands now; `more` are the fields of this event alone."""
    data = {
        "order_id": order.id,
        **{name: getattr(order, name) for name in SNAPSHOT},
        "lines": [{name: getattr(line, name) for name in LINE} for line in order.lines],
        "occurred_at": cause.at,
        **more,
    }
    outbox.add(session, event_type, data, correlation_id=order.checkout_id, causation=cause.event)


def confirm(session: Session, order: Order, cause: Cause) -> None:
    """Announce that the order is paid and may be fulfilled, unless it was or a person has to decide first."""
    if order.confirm(cause.at):
        announce(session, order, "orders.order.paid", cause)


def note(session: Session, order: Order, cause: Cause, kind: str, text: str) -> None:
    """Write on the order's timeline; once per cause and kind.

    In whole seconds, as Stripe tells its times: within one the entries stay in the order in which they were written.
    """
    at = cause.at.replace(microsecond=0)
    entry = {"order_id": order.id, "at": at, "kind": kind, "text": text, "event_id": cause.id}
    defer_insert(session, TimelineEntry, **entry)


def amount_text(amount: int, currency: str) -> str:
    """An amount for people; one in a currency that we do not know stays in its minor unit."""
    if currency not in money.SUPPORTED:
        return f"{amount} {currency.upper()} (minor units)"
    return f"{money.to_decimal(amount, currency):f} {currency.upper()}"
