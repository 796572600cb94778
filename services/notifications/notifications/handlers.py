"""Which event has whom told what. A mail is written down here and sent after the commit."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
from events.clock import utcnow
from events.database.notify import wake_after_commit
from events.database.transaction import before_commit, defer_insert
from events.errors import Ignored
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox
from events.messaging.event import Event, new_id
from events.messaging.handlers import Handlers
from events.messaging.redaction import redacted_data
from events.observability import tracing
from events.observability.logging import get_logger
from sqlalchemy.orm import Session

from notifications import forgetting
from notifications.config import ABANDONED_CART_DELAY
from notifications.digest import NO_DIGEST, Digest
from notifications.kinds import (
    ABANDONED_CART,
    CANCELED,
    CUSTOMER_KINDS,
    ORDER_CONFIRMED,
    ORDER_SHIPPED,
    PAID,
    PAYMENT_FAILED,
    PAYMENT_PENDING,
    REFUND_SUCCEEDED,
    STAFF_DISPUTE_CLOSED,
    STAFF_DISPUTE_OPENED,
    STAFF_DISPUTE_UPDATED,
    STAFF_REFUND_FAILED,
    STAFF_REVIEW,
    STAFF_REVIEW_SETTLED,
    STAFF_STOCK_LOW,
)
from notifications.models import CHANNEL, PENDING, SUPPRESSED, Email, purchase, purchases
from notifications.overtaken import suppress_overtaken

POLICY = "policy"  # who settled a review that no person settled

log = get_logger(__name__)


def lock_all(events: Sequence[Event], session: Session) -> None:
    purchases(session, {event.data["checkout_id"] for event in events if "checkout_id" in event.data})


def confirm_order(event: Event, session: Session) -> None:
    settle(event, session, PAID)
    tell_customer(event, session, ORDER_CONFIRMED, about=event.data["order_id"])


def announce_pending_payment(event: Event, session: Session) -> None:
    tell_customer(event, session, PAYMENT_PENDING, about=event.data["session_id"])


def announce_failed_payment(event: Event, session: Session) -> None:
    tell_customer(event, session, PAYMENT_FAILED, about=event.data["session_id"])


def remind_of_cart(event: Event, session: Session, *, after: timedelta) -> None:
    """`after` a while: a late payment or a cancel overtakes the reminder."""
    tell_customer(event, session, ABANDONED_CART, about=event.data["order_id"], after=after)


def leave_in_peace(event: Event, session: Session) -> None:
    settle(event, session, CANCELED)


def announce_parcel(event: Event, session: Session) -> None:
    tell_customer(event, session, ORDER_SHIPPED, about=event.data["shipment_id"])


def confirm_refund(event: Event, session: Session) -> None:
    tell_customer(event, session, REFUND_SUCCEEDED, about=event.data["refund_id"])


def ask_for_review(event: Event, session: Session, *, digest: Digest) -> None:
    tell_staff(event, session, STAFF_REVIEW, about=_review(event), digest=digest)


def close_review(event: Event, session: Session, *, digest: Digest) -> None:
    """Whoever settled it knows. The row is kept all the same: the request for the review may come after it."""
    by = event.data["resolved_by"]
    known = None if by == POLICY else f"settled by {by}: nobody has to be told"
    tell_staff(event, session, STAFF_REVIEW_SETTLED, about=_review(event), digest=digest, pointless=known)


def report_failed_refund(event: Event, session: Session, *, digest: Digest) -> None:
    tell_staff(event, session, STAFF_REFUND_FAILED, about=event.data["refund_id"], digest=digest)


def report_opened_dispute(event: Event, session: Session, *, digest: Digest) -> None:
    tell_staff(event, session, STAFF_DISPUTE_OPENED, about=event.data["dispute_id"], digest=digest)


def report_changed_dispute(event: Event, session: Session, *, digest: Digest) -> None:
    data = event.data
    due = data["evidence_due_by"].isoformat() if data["evidence_due_by"] else ""
    state = f"{data['dispute_status']}:{'withdrawn' if data['funds_withdrawn'] else 'kept'}:{due}"
    tell_staff(event, session, STAFF_DISPUTE_UPDATED, about=f"{data['dispute_id']}#{state}", digest=digest)


def report_closed_dispute(event: Event, session: Session, *, digest: Digest) -> None:
    tell_staff(event, session, STAFF_DISPUTE_CLOSED, about=event.data["dispute_id"], digest=digest)


def report_low_stock(event: Event, session: Session, *, digest: Digest) -> None:
    """Each event is one fall to the threshold: nothing else tells the next one from it."""
    tell_staff(event, session, STAFF_STOCK_LOW, about=event.id, digest=digest)


def forget_customer(event: Event, session: Session) -> None:
    erase_inbox(session, event.data["checkout_id"])
    forgetting.forget_customer(session, purchase(session, event.data["checkout_id"]), event.data["erased_at"])


def settle(event: Event, session: Session, outcome: str) -> None:
    """Record how the purchase ended, and keep back what this makes pointless."""
    about = purchase(session, event.data["checkout_id"])
    if about.settle(outcome):
        before_commit(session, suppress_overtaken, about)


def tell_customer(event: Event, session: Session, kind: str, *, about: str, after: timedelta = timedelta()) -> None:
    recipient, locale = event.data["customer_email"], event.data["locale"]
    if not recipient:
        log.info("no e-mail address is known", kind=kind, checkout_id=event.data["checkout_id"])
        raise Ignored(f"no e-mail address is known, so no {kind} mail")
    write_down(event, session, kind, about=about, due=utcnow() + after, recipient=recipient, locale=locale)


def tell_staff(
    event: Event, session: Session, kind: str, *, about: str, digest: Digest, pointless: str | None = None
) -> None:
    """`pointless` says why no mail is sent: the row is the record alone."""
    if pointless:
        write_down(event, session, kind, about=about, due=None, status=SUPPRESSED, error=pointless)
    else:
        write_down(event, session, kind, about=about, due=digest.next(utcnow()))


def write_down(
    event: Event,
    session: Session,
    kind: str,
    *,
    about: str,
    due: datetime | None,
    status: str = PENDING,
    **values: str | None,
) -> None:
    """Unless there is one for this occasion already. Suppressed at once where something has overtaken it."""
    bought = purchase(session, event.data["checkout_id"]) if "checkout_id" in event.data else None
    context = _context(event)
    if bought and bought.erased_at:
        if kind in CUSTOMER_KINDS:
            raise Ignored(f"the customer is forgotten, so no {kind} mail")
        context = redacted_data(context)
    defer_insert(
        session,
        Email,
        id=new_id("eml"),
        kind=kind,
        checkout_id=bought.checkout_id if bought else None,
        subject_key=about,
        context=context,
        status=status,
        attempts=0,
        next_attempt_at=due,
        created_at=utcnow(),
        traceparent=tracing.traceparent(),
        **{"recipient": None, "locale": None, "error": None, **values},
    )
    if bought:
        before_commit(session, suppress_overtaken, bought)
    wake_after_commit(session, CHANNEL)


def _context(event: Event) -> dict[str, Any]:
    context: dict[str, Any] = orjson.loads(orjson.dumps({"occurred_at": event.occurred_at, **event.data}))
    return context


def _review(event: Event) -> str:
    return f"{event.data['order_id']}:{event.data['reason']}"


def create_handlers(abandoned_cart_delay: timedelta, digest: Digest) -> Handlers:
    created = Handlers()
    created.prepare(lock_all)
    created.on("orders.order.paid")(confirm_order)
    created.on("orders.payment.pending")(announce_pending_payment)
    created.on("orders.payment.failed")(announce_failed_payment)
    created.on("orders.order.expired")(partial(remind_of_cart, after=abandoned_cart_delay))
    created.on("orders.order.canceled")(leave_in_peace)
    created.on("orders.order.shipped")(announce_parcel)
    created.on("orders.refund.succeeded")(confirm_refund)
    created.on(CUSTOMER_ERASED)(forget_customer)
    for key, tell in {
        "orders.review.opened": ask_for_review,
        "orders.review.resolved": close_review,
        "orders.refund.failed": report_failed_refund,
        "orders.dispute.opened": report_opened_dispute,
        "orders.dispute.updated": report_changed_dispute,
        "orders.dispute.closed": report_closed_dispute,
        "inventory.stock.low": report_low_stock,
    }.items():
        created.on(key)(partial(tell, digest=digest))
    return created


handlers = create_handlers(ABANDONED_CART_DELAY, NO_DIGEST)
