"""Handlers of Stripe's session events, which end checkouts, and of the erasure of customers."""

from collections.abc import Sequence

from events.database import transaction
from events.errors import Ignored
from events.messaging.contracts.checkout import CancelReason
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox, erase_outbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.session_payment import check_account
from sqlalchemy.orm import Session

from checkout import discounts, erasure, models
from checkout.models import Checkout
from checkout.publishing import attach_session_and_publish, publish_canceled
from checkout.repository import lock_checkout_if_known

handlers = Handlers()


@handlers.prepare
def lock_checkouts(events: Sequence[Event], session: Session) -> None:
    """Lock the checkouts of all events of a transaction, in one lock order, before their handlers run."""
    transaction.lock_rows(session, Checkout, {event.correlation_id for event in events if event.correlation_id})


@handlers.on(
    "stripe.checkout.session.completed",
    "stripe.checkout.session.async_payment_succeeded",
    "stripe.checkout.session.async_payment_failed",
)
def record_completion(event: Event, session: Session) -> None:
    """Mark the checkout as complete, even if it had ended unpaid. Record its payment status and the discount's use.

    If the request died before it attached the session, attach the session and publish the start.
    """
    checkout = _lock_checkout(event, session)
    attach_session_and_publish(session, checkout, event.object, causation=event)
    checkout.complete(event.object["id"])
    checkout.record_payment_status(event.object["id"], _payment_status(event), event.occurred_at)
    discounts.update_use(session, checkout)


@handlers.on("stripe.checkout.session.expired")
def record_expiry(event: Event, session: Session) -> None:
    """Mark the checkout as expired and release its discount, if the event is about its current session.

    If the request died before it attached the session, attach the session and publish the start. If the checkout is
    abandoned, publish its cancellation after that.
    """
    checkout = _lock_checkout(event, session)
    is_new = attach_session_and_publish(session, checkout, event.object, causation=event)
    if is_new and checkout.status == models.ABANDONED:
        publish_canceled(session, checkout, CancelReason.ABANDONED)
    if checkout.session_id == event.object["id"] and checkout.expire():
        discounts.update_use(session, checkout)


@handlers.on(CUSTOMER_ERASED)
def erase_customer(event: Event, session: Session) -> None:
    """Erase the customer from the checkout, the inbox and the outbox, and the Idempotency-Key from the checkout.

    Later events are stored without personal data.
    """
    checkout_id = event.data["checkout_id"]
    erase_inbox(session, checkout_id)
    if checkout := lock_checkout_if_known(session, checkout_id):
        erasure.erase_customer(session, checkout)
        checkout.idempotency_key = None  # a shop may make keys from anything, also from an e-mail address
    erase_outbox(session, checkout_id)


def _payment_status(event: Event) -> str:
    if event.routing_key.endswith(".async_payment_failed"):
        return models.PAYMENT_FAILED
    return models.payment_status_of(event.object)


def _lock_checkout(event: Event, session: Session) -> Checkout:
    """Lock the event's checkout and return it. Raises `Ignored` for a session that another system made.

    A checkout is stored before Stripe is called. So an unknown id belongs to another installation, or a restore of the
    database lost the checkout.
    """
    check_account(event)
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if checkout_id is None:
        raise Ignored("the session's metadata has no checkout_id: another system made it")
    checkout = lock_checkout_if_known(session, checkout_id)
    if checkout is None:
        raise Ignored(f"{checkout_id} is not in this database: another installation made it, or a restore lost it")
    return checkout
