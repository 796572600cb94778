"""Handlers: the events that send e-mails. An e-mail is queued here and sent after the commit (sender.py).

docs/architecture.md lists which event sends which e-mail, and which unsent e-mails it suppresses. Two effects have no
e-mail: `orders.order.canceled` of an unpaid order makes the reminder of its cart stale, and `orders.customer.erased`
erases the customer. With STAFF_DIGEST, e-mails to staff wait for the next digest (digest.py).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from events.clock import utcnow
from events.database.transaction import before_commit
from events.errors import Ignored
from events.messaging.contracts.reviews import CUSTOMER_REASONS, POLICY, ReviewDecision, ReviewReason
from events.messaging.dispute_status import is_closed
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from sqlalchemy.orm import Session

from notifications import erasure
from notifications.config import ABANDONED_CART_DELAY
from notifications.digest import NO_DIGEST, DigestSchedule
from notifications.kinds import CheckoutOutcome, Kind
from notifications.models import lock_or_insert_checkout, lock_or_insert_checkouts
from notifications.queueing import notify_customer, notify_customer_if_known, notify_staff, record_suppressed
from notifications.reminders import NO_REMINDERS, ReminderPolicy
from notifications.suppression import suppress_stale
from notifications.wording import waits_for_parcel

REFUND_WAIT = timedelta(seconds=10)  # most refunds succeed sooner, and their e-mail then replaces the decision's


def create_handlers(  # noqa: C901 - one handler after the other
    abandoned_cart_delay: timedelta = ABANDONED_CART_DELAY,
    digest: DigestSchedule = NO_DIGEST,
    *,
    reminders: ReminderPolicy = NO_REMINDERS,
    staff_new_order: bool = False,
) -> Handlers:
    """Return the service's handlers.

    `reminders` decides who gets a reminder of an abandoned cart, and each one waits for `abandoned_cart_delay`. E-mails
    to staff wait for the next digest, if there are digests. With `staff_new_order`, staff also get an e-mail about each
    paid order.
    """
    handlers = Handlers()

    def staff_due_at() -> datetime:
        return digest.next_due(utcnow())

    @handlers.prepare
    def lock_all(events: Sequence[Event], session: Session) -> None:
        ids = {event.data["checkout_id"] for event in events if "checkout_id" in event.data}
        lock_or_insert_checkouts(session, ids)

    @handlers.on("orders.order.paid")
    def send_order_confirmation(event: Event, session: Session) -> None:
        _record_outcome(event, session, CheckoutOutcome.PAID)
        _record_purchase(event, session)
        if staff_new_order:
            notify_staff(event, session, Kind.STAFF_ORDER_PAID, event.data["order_id"], due_at=staff_due_at())
        notify_customer_if_known(event, session, Kind.ORDER_CONFIRMED, event.data["order_id"])

    @handlers.on("orders.payment.pending")
    def announce_pending_payment(event: Event, session: Session) -> None:
        _record_purchase(event, session)
        kind = Kind.PAYMENT_INSTRUCTIONS if event.data["voucher_url"] else Kind.PAYMENT_PENDING
        notify_customer(event, session, kind, event.data["session_id"])

    @handlers.on("orders.payment.failed")
    def announce_failed_payment(event: Event, session: Session) -> None:
        notify_customer(event, session, Kind.PAYMENT_FAILED, event.data["session_id"])

    @handlers.on("orders.order.expired")
    def send_cart_reminder(event: Event, session: Session) -> None:
        if refusal := reminders.refusal(event.data["promotions_consent"]):
            raise Ignored(f"{refusal}, so no {Kind.ABANDONED_CART} e-mail")
        notify_customer(event, session, Kind.ABANDONED_CART, event.data["order_id"], delay=abandoned_cart_delay)

    @handlers.on("orders.order.canceled")
    def announce_cancellation(event: Event, session: Session) -> None:
        _record_outcome(event, session, CheckoutOutcome.CANCELED)
        if event.data["reason"]:  # the customer knows that they canceled a checkout
            notify_customer_if_known(event, session, Kind.ORDER_CANCELED, event.data["order_id"])

    @handlers.on("orders.order.shipped")
    def announce_shipment(event: Event, session: Session) -> None:
        notify_customer(event, session, Kind.ORDER_SHIPPED, event.data["shipment_id"])

    @handlers.on("orders.refund.succeeded")
    def announce_refund(event: Event, session: Session) -> None:
        notify_customer(event, session, Kind.REFUND_SUCCEEDED, event.data["refund_id"])

    @handlers.on("orders.review.opened")
    def request_review(event: Event, session: Session) -> None:
        _record_purchase(event, session)
        notify_staff(event, session, Kind.STAFF_REVIEW_OPENED, _review_key(event), due_at=staff_due_at())
        if event.data["reason"] in CUSTOMER_REASONS and not event.data["is_refunded"]:
            notify_customer_if_known(event, session, Kind.ORDER_IN_REVIEW, _review_key(event))

    @handlers.on("orders.review.resolved")
    def report_resolved_review(event: Event, session: Session) -> None:
        resolved_by = event.data["resolved_by"]
        if resolved_by == POLICY:
            notify_staff(event, session, Kind.STAFF_REVIEW_RESOLVED, _review_key(event), due_at=staff_due_at())
        else:  # its row still suppresses the request for a review, also one that comes later
            reason = f"resolved by {resolved_by}: no e-mail needed"
            record_suppressed(event, session, Kind.STAFF_REVIEW_RESOLVED, _review_key(event), reason=reason)
        for other in event.data["also_resolved"]:  # no e-mail may ask for its decision any more
            record_suppressed(
                event,
                session,
                Kind.STAFF_REVIEW_RESOLVED,
                _review_key(event, **other),
                reason=f"resolved together with {event.data['reason']}",
            )
        if kind := _kind_of_decision(event):
            delay = REFUND_WAIT if event.data["decision"] == ReviewDecision.REFUND else timedelta()
            notify_customer_if_known(event, session, kind, _review_key(event), delay=delay)

    @handlers.on("orders.refund.failed")
    def report_failed_refund(event: Event, session: Session) -> None:
        notify_staff(event, session, Kind.STAFF_REFUND_FAILED, event.data["refund_id"], due_at=staff_due_at())
        notify_customer_if_known(event, session, Kind.REFUND_FAILED, event.data["refund_id"])

    @handlers.on("orders.dispute.opened")
    def report_opened_dispute(event: Event, session: Session) -> None:
        notify_staff(event, session, Kind.STAFF_DISPUTE_OPENED, event.data["dispute_id"], due_at=staff_due_at())

    @handlers.on("orders.dispute.updated")
    def report_updated_dispute(event: Event, session: Session) -> None:
        # The money of a closed dispute can come back later: staff then read its result again, with the new sums.
        is_over = is_closed(event.data["dispute_status"])
        kind = Kind.STAFF_DISPUTE_CLOSED if is_over else Kind.STAFF_DISPUTE_UPDATED
        notify_staff(event, session, kind, _dispute_state_key(event), due_at=staff_due_at())

    @handlers.on("orders.dispute.closed")
    def report_closed_dispute(event: Event, session: Session) -> None:
        notify_staff(event, session, Kind.STAFF_DISPUTE_CLOSED, _dispute_state_key(event), due_at=staff_due_at())

    @handlers.on("inventory.stock.low")
    def report_low_stock(event: Event, session: Session) -> None:
        # Sales and returns around the threshold cross it many times a day.
        subject = f"{event.data['sku']}@{event.occurred_at.astimezone(UTC).date()}"
        notify_staff(event, session, Kind.STAFF_STOCK_LOW, subject, due_at=staff_due_at())

    @handlers.on("inventory.reservation.expiring")
    def report_expiring_reservation(event: Event, session: Session) -> None:
        subject = f"{event.data['checkout_id']}@{event.data['expires_at'].isoformat()}"
        notify_staff(event, session, Kind.STAFF_RESERVATION_EXPIRING, subject, due_at=staff_due_at())

    @handlers.on(CUSTOMER_ERASED)
    def erase_customer(event: Event, session: Session) -> None:
        checkout_id = event.data["checkout_id"]
        erase_inbox(session, checkout_id)
        erasure.erase_customer(session, lock_or_insert_checkout(session, checkout_id), event.data["erased_at"])

    return handlers


def _record_outcome(event: Event, session: Session, outcome: CheckoutOutcome) -> None:
    checkout = lock_or_insert_checkout(session, event.data["checkout_id"])
    if checkout.record_outcome(outcome):
        before_commit(session, suppress_stale, checkout)


def _record_purchase(event: Event, session: Session) -> None:
    """Record a purchase by the event's address, also if its payment is pending or in review.

    It stops reminders to this address that are queued before it or within `REMINDER_INTERVAL` after it.
    """
    checkout = lock_or_insert_checkout(session, event.data["checkout_id"])
    checkout.record_purchase(event.data["customer_email"], event.data["occurred_at"])


def _kind_of_decision(event: Event) -> Kind | None:
    """Return the kind of the e-mail with which the customer learns a review's decision; None if no e-mail is needed.

    A refund has its own e-mail, which replaces this one if it comes within `REFUND_WAIT`. An order that was not
    confirmed before the review gets its confirmation by another event. The acceptance of a duplicate payment has this
    e-mail in addition to the confirmation.
    """
    data = event.data
    if data["decision"] != ReviewDecision.ACCEPT:  # for every reason, while the customer waits for a parcel
        is_news = data["reason"] in CUSTOMER_REASONS or waits_for_parcel(data)
        return Kind.ORDER_CANCELED if is_news else None
    if data["reason"] not in CUSTOMER_REASONS:
        return None
    is_news = data["was_confirmed"] or data["reason"] == ReviewReason.DUPLICATE_PAYMENT
    return Kind.ORDER_CONFIRMED if is_news else None


def _review_key(event: Event, **other: str | None) -> str:
    """Return the subject key of the event's review. Fields in `other` replace the event's, for another review.

    An order can have several reviews of one reason, such as two duplicate payments.
    """
    data = {**event.data, **other}
    return ":".join(filter(None, (data["order_id"], data["reason"], data["subject"])))


def _dispute_state_key(event: Event) -> str:
    """Return a key of the dispute's id, status, withheld amount and deadline.

    Each new key is an occasion for an e-mail. If the withheld amount is not known, the key says if the money was
    withdrawn from the shop.
    """
    data = event.data
    due = data["evidence_due_by"].isoformat() if data["evidence_due_by"] else ""
    withheld = data.get("amount_held")
    funds = str(withheld) if withheld is not None else "withdrawn" if data["funds_withdrawn"] else "kept"
    return f"{data['dispute_id']}#{data['dispute_status']}:{funds}:{due}"
