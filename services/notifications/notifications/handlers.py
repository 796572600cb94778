"""Which event has whom told what. A mail is written down here and sent after the commit."""

from datetime import timedelta
from functools import partial

import orjson
from events.database import utcnow
from events.envelope import Event
from events.errors import Ignored
from events.handlers import Handlers
from events.telemetry import get_logger
from sqlalchemy.orm import Session

from notifications.config import ABANDONED_CART_DELAY
from notifications.models import (
    ABANDONED_CART,
    CANCELED,
    ORDER_CONFIRMED,
    PAID,
    PAYMENT_FAILED,
    PAYMENT_PENDING,
    STAFF_REVIEW,
    insert_email,
    purchase,
    suppress_overtaken,
)

log = get_logger(__name__)


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


def ask_for_review(event: Event, session: Session) -> None:
    tell(event, session, STAFF_REVIEW, about=f"{event.data['order_id']}:{event.data['reason']}")


def settle(event: Event, session: Session, outcome: str) -> None:
    """Record how the purchase ended, and keep back what this makes pointless."""
    about = purchase(session, event.data["checkout_id"])
    if about.settle(outcome):
        suppress_overtaken(session, about)


def tell_customer(event: Event, session: Session, kind: str, *, about: str, after: timedelta = timedelta()) -> None:
    recipient, locale = event.data["customer_email"], event.data["locale"]
    if not recipient:
        log.info("no e-mail address is known", kind=kind, checkout_id=event.data["checkout_id"])
        raise Ignored(f"no e-mail address is known, so no {kind} mail")
    tell(event, session, kind, about=about, recipient=recipient, locale=locale, after=after)


def tell(
    event: Event,
    session: Session,
    kind: str,
    *,
    about: str,
    recipient: str | None = None,
    locale: str | None = None,
    after: timedelta = timedelta(),
) -> None:
    insert_email(
        session,
        kind,
        purchase(session, event.data["checkout_id"]),
        subject_key=about,
        recipient=recipient,
        locale=locale,
        context=orjson.loads(orjson.dumps(event.data)),
        not_before=utcnow() + after,
    )


def create_handlers(abandoned_cart_delay: timedelta) -> Handlers:
    created = Handlers()
    created.on("orders.order.paid")(confirm_order)
    created.on("orders.payment.pending")(announce_pending_payment)
    created.on("orders.payment.failed")(announce_failed_payment)
    created.on("orders.order.expired")(partial(remind_of_cart, after=abandoned_cart_delay))
    created.on("orders.order.canceled")(leave_in_peace)
    created.on("orders.review.opened")(ask_for_review)
    return created


handlers = create_handlers(ABANDONED_CART_DELAY)
