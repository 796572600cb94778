"""How a checkout's session ended, as Stripe tells it; and whom to forget, as orders does."""

from collections.abc import Sequence

from events.database import transaction
from events.errors import Ignored
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox, erase_outbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from sqlalchemy.orm import Session

from checkout import discounts, models
from checkout.announcements import announce_canceled, locked, record_session
from checkout.models import Checkout

handlers = Handlers()


@handlers.prepare
def lock_all(events: Sequence[Event], session: Session) -> None:
    transaction.lock_rows(session, Checkout, {event.correlation_id for event in events if event.correlation_id})


@handlers.on(
    "stripe.checkout.session.completed",
    "stripe.checkout.session.async_payment_succeeded",
    "stripe.checkout.session.async_payment_failed",
)
def record_completion(event: Event, session: Session) -> None:
    """The customer is through with the page; what is known of the money decides about the lease and the discount."""
    checkout = _checkout_of(event, session)
    record_session(session, checkout, event.object, causation=event)
    checkout.complete(event.object["id"])
    checkout.record_payment(_payment(event), event.occurred_at)
    discounts.follow(session, checkout)


@handlers.on("stripe.checkout.session.expired")
def record_expiry(event: Event, session: Session) -> None:
    checkout = _checkout_of(event, session)
    is_news = record_session(session, checkout, event.object, causation=event)
    if is_news and checkout.status == models.ABANDONED:
        announce_canceled(session, checkout)
    if checkout.session_id == event.object["id"] and checkout.expire():
        discounts.follow(session, checkout)


@handlers.on(CUSTOMER_ERASED)
def forget_customer(event: Event, session: Session) -> None:
    """In whatever state the checkout is; what ends it later needs nothing of her."""
    checkout_id = event.data["checkout_id"]
    erase_inbox(session, checkout_id)
    if checkout := locked(session, checkout_id):
        discounts.forget_customer(session, checkout)
        checkout.idempotency_key = None  # it is over, and a shop may have made the key of anything
    erase_outbox(session, checkout_id)


def _payment(event: Event) -> str:
    if event.routing_key.endswith(".async_payment_failed"):
        return models.FAILED
    return models.payment_of(event.object)


def _checkout_of(event: Event, session: Session) -> Checkout:
    """Its row stands before Stripe is called: one that is not there belongs to another installation."""
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if checkout_id is None:
        raise Ignored("the session bears no checkout_id: it was not made by checkout")
    checkout = locked(session, checkout_id)
    if checkout is None:
        raise Ignored(f"{checkout_id} is not in this database")
    return checkout
