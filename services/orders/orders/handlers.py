"""The handlers of events from Stripe, checkout and inventory. Each records facts about one order."""

from collections.abc import Mapping, Sequence

from events.database.transaction import before_commit
from events.errors import Ignored
from events.messaging.contracts.checkout import CancelReason
from events.messaging.contracts.reviews import ReviewReason
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.session_payment import is_late, is_paid
from events.money import format_amount
from sqlalchemy.orm import Session

from orders import payments, radar
from orders.causes import Cause
from orders.disputes import book_dispute
from orders.goods import update_fulfillment
from orders.models.orders import Order, OrderStatus
from orders.models.payments import Payment
from orders.models.timeline import EntryKind
from orders.payment_checks import find_mismatch
from orders.publishing import publish, publish_paid_order, publish_pending_payment
from orders.refunds.booking import book_refund, publish_refunds_again
from orders.refunds.lookups import refunds_of, request_lookup
from orders.repository import (
    create_order,
    get_order_by_checkout,
    get_order_by_metadata,
    get_order_or_park,
    lock_orders,
    record_session,
    record_stock_doubt,
)
from orders.returns import correct_taken
from orders.reviews import STRIPE_ACTOR, open_review, release_review
from orders.timeline import add_entry
from orders.totals import update_totals

MISSING_ADDRESS_TEXT = "Stripe's session has no shipping address. Ask the customer where to send the order."
CANCELED_TEXT = "The checkout was canceled."
CANCEL_TEXTS: Mapping[str | None, str] = {
    CancelReason.CUSTOMER: "The customer canceled the checkout.",
    CancelReason.OPERATOR: "An operator canceled the checkout.",
    CancelReason.ABANDONED: "The checkout ended before its payment page was open. The customer never got the link.",
}

handlers = Handlers()
# What they report comes again with the attempt's end, or is a fact about Stripe's own books.
handlers.ignore(
    "stripe.payment_intent.created",
    "stripe.payment_intent.processing",
    "stripe.payment_intent.canceled",
    "stripe.charge.captured",
    "stripe.charge.updated",
)


@handlers.prepare
def lock_batch_orders(events: Sequence[Event], session: Session) -> None:
    """Lock the orders of all events in the transaction, sorted by checkout id, so that transactions cannot deadlock."""
    lock_orders(session, events)


@handlers.on("checkout.checkout.started", unblocks=True)
def open_order(event: Event, session: Session) -> None:
    """Create the order of a started checkout. Events that wait for the order become due."""
    if order := create_order(session, event):
        total = format_amount(order.amount_total, order.currency)
        text = f"A checkout of {total} was started."  # whether the customer opens its page, Stripe does not say
        add_entry(session, order, Cause.from_event(event), EntryKind.STARTED, text)


@handlers.on("checkout.checkout.canceled")
def cancel_order(event: Event, session: Session) -> None:
    """Record that the checkout was canceled before payment.

    Publish the order as canceled, unless a payment of it is paid, failed or under way.
    """
    order, cause = get_order_by_checkout(session, event, event.data["checkout_id"]), Cause.from_event(event)
    if order.mark_canceled(event.occurred_at):
        add_entry(session, order, cause, EntryKind.CANCELED, CANCEL_TEXTS.get(event.data["reason"], CANCELED_TEXT))
        publish(session, order, "orders.order.canceled", cause)


@handlers.on("stripe.checkout.session.completed", "stripe.checkout.session.async_payment_succeeded")
def complete_session(event: Event, session: Session) -> None:
    """Record a completed session as paid, or as unpaid with a delayed payment, such as a bank debit.

    An unknown payment status counts as unpaid, and fulfills nothing.
    """
    if is_paid(event.object):
        record_payment(event, session)
    else:
        await_payment(event, session)


def await_payment(event: Event, session: Session) -> None:
    """Record a delayed payment, whose money arrives later. Publish it if this changes the order's status."""
    order, cause = record_session(session, event), Cause.from_event(event)
    _record_customer(session, order, event, cause)
    payment = payments.record_session_payment(session, order, event)
    _add_payment_intent(order, event.object.get("payment_intent"))
    if order.mark_payment_pending(event.occurred_at):
        text = f"The customer finished the checkout. The payment of {_amount(payment)} is on its way."
        add_entry(session, order, cause, EntryKind.PAYMENT_PENDING, text)
        publish_pending_payment(session, order, payment, cause)


def record_payment(event: Event, session: Session) -> None:
    """Record a paid session: the payment, the customer's data and the order's totals.

    Open a review if the amount, currency, account or mode does not match, if the address is missing, or if another
    session of the order is paid already. Otherwise publish the order as paid, unless another review is open or nothing
    is owed. A late payment, or one for stock in doubt, waits for inventory first (`publish_waiting_order`).
    """
    order, cause = record_session(session, event), Cause.from_event(event)
    _record_customer(session, order, event, cause)
    payment = payments.record_session_payment(session, order, event)
    if not payment.mark_paid(event.occurred_at):
        return
    payment.is_late = is_late(event)
    update_totals(order)
    if not order.mark_paid(event.occurred_at):
        update_fulfillment(session, order)  # a duplicate payment: refunds may no longer cover all payments
        detail = f"The customer paid again: {_amount(payment)} with {payment.id}."
        open_review(session, order, ReviewReason.DUPLICATE_PAYMENT, detail, cause, subject=payment.id)
        return
    order.session_id = event.object["id"]
    order.payment_intent = event.object.get("payment_intent") or order.payment_intent
    add_entry(session, order, cause, EntryKind.PAID, f"The customer paid {_amount(payment)}.")
    order.record_address(event.object)  # of several sessions, the goods go where the one that paid says
    if order.is_address_missing:
        open_review(session, order, ReviewReason.MISSING_ADDRESS, MISSING_ADDRESS_TEXT, cause)
    if mismatch := find_mismatch(order, event, payment):
        open_review(session, order, mismatch.reason, mismatch.detail, cause)
    update_fulfillment(session, order)
    publish_paid_order(session, order, cause)


@handlers.on("stripe.checkout.session.async_payment_failed")
def fail_payment(event: Event, session: Session) -> None:
    """Record that a delayed payment failed. Publish it, unless the order is paid or another payment is under way."""
    order, cause = record_session(session, event), Cause.from_event(event)
    _record_customer(session, order, event, cause)
    payment = payments.record_session_payment(session, order, event)
    payment.mark_failed()
    _add_payment_intent(order, event.object.get("payment_intent"))
    if order.mark_payment_failed(event.occurred_at):
        text = f"The payment of {_amount(payment)} failed."
        add_entry(session, order, cause, EntryKind.PAYMENT_FAILED, text)
        publish(session, order, "orders.payment.failed", cause, session_id=event.object["id"])


@handlers.on("stripe.checkout.session.expired")
def expire_order(event: Event, session: Session) -> None:
    """Record that the session expired unpaid, with Stripe's link to recover the cart. Publish the order as expired.

    If the order is canceled, or has a payment that is paid, failed or under way, publish nothing: only the link and
    what the customer entered are recorded.
    """
    order, cause = record_session(session, event), Cause.from_event(event)
    _record_customer(session, order, event, cause)
    recovery = (event.object.get("after_expiration") or {}).get("recovery") or {}
    if order.erased_at is None:
        order.recovery_url = order.recovery_url or recovery.get("url")
    if order.mark_expired(event.occurred_at):
        add_entry(session, order, cause, EntryKind.EXPIRED, "The payment page expired before the customer paid.")
        consent = (event.object.get("consent") or {}).get("promotions")
        publish(
            session,
            order,
            "orders.order.expired",
            cause,
            recovery_url=order.recovery_url,
            promotions_consent=consent,
        )


@handlers.on("stripe.payment_intent.succeeded")
def record_succeeded_intent(event: Event, session: Session) -> None:
    """Record that Stripe has the money. Only a session's event marks the order as paid: it has the amounts to check."""
    order = get_order_by_metadata(session, event)
    _record_success(session, order, payments.get_or_create_by_intent(session, order, event), event)


@handlers.on("stripe.payment_intent.requires_action")
def record_payment_instructions(event: Event, session: Session) -> None:
    """Record the voucher or bank transfer with which the customer has to pay.

    If the order waits for this payment, publish the payment as pending again, with the voucher or bank transfer.
    """
    order, cause = get_order_by_metadata(session, event), Cause.from_event(event)
    if order.erased_at is not None:
        raise Ignored("the customer is erased")
    if not payments.asks_for_transfer(event.object):
        raise Ignored("neither a voucher nor a bank transfer: Stripe's page handles any other action")
    payment = payments.get_or_create_by_intent(session, order, event)
    if payments.record_instructions(payment, event.object) and order.status == OrderStatus.PAYMENT_PENDING:
        publish_pending_payment(session, order, payment, cause)


@handlers.on("stripe.charge.pending")
def record_payment_method(event: Event, session: Session) -> None:
    """Record a delayed payment's method, such as a bank debit. E-mails then say if the customer still has to pay."""
    order = get_order_by_metadata(session, event)
    if not event.object.get("payment_intent"):
        raise Ignored("the object has no payment intent: another system made it")
    payments.record_charged_method(payments.get_or_create_by_charge(session, order, event), event.object)


@handlers.on("stripe.charge.succeeded", "stripe.charge.refunded")
def record_succeeded_charge(event: Event, session: Session) -> None:
    """Record that Stripe has the money. Book the refunds that the charge lists.

    If the charge's sum of refunds is higher than the booked sum, the worker asks Stripe for the missing refunds. API
    versions before 2022-11-15 list refunds in `refunds.data`, and those before 2024-10-28 send no event for each
    refund.
    """
    order = get_order_by_metadata(session, event)
    if not event.object.get("payment_intent"):
        raise Ignored("the object has no payment intent: another system made it")
    _record_success(session, order, payments.get_or_create_by_charge(session, order, event), event)
    for found in refunds_of(event.object):
        book_refund(session, order, found, Cause.from_event(event))
    request_lookup(session, order, event.object)


@handlers.on("stripe.payment_intent.payment_failed", "stripe.charge.failed")
def record_failed_attempt(event: Event, session: Session) -> None:
    """Record a failed payment attempt, once. The customer may try again in the same session."""
    order = get_order_by_metadata(session, event)
    if attempt := payments.record_attempt(session, order, event):
        text = f"Payment attempt failed: {attempt.message}" if attempt.message else "Payment attempt failed."
        add_entry(session, order, Cause.from_event(event), EntryKind.PAYMENT_ATTEMPT_FAILED, text)


@handlers.on("inventory.reservation.doubted")
def record_doubt(event: Event, session: Session) -> None:
    """Record that the reserved pieces of a checkout may be gone: once paid, its order waits for inventory's answer."""
    record_stock_doubt(session, event, event.data["checkout_id"])


@handlers.on("inventory.reservation.committed")
def publish_waiting_order(event: Event, session: Session) -> None:
    """Record that the order's pieces were in stock. Publish the order as paid if it waited only for that."""
    order = get_order_by_checkout(session, event, event.data["checkout_id"])
    order.stock_checked_at = order.stock_checked_at or event.occurred_at
    publish_paid_order(session, order, Cause.from_event(event))


@handlers.on("inventory.reservation.oversold")
def review_oversold(event: Event, session: Session) -> None:
    """Open a review of an order with pieces that are not in stock.

    Without a `return_id`, the pieces were gone when the order was paid. With one, a refund had returned them to the
    stock and then failed, but they were already sold again.
    """
    order = get_order_by_checkout(session, event, event.data["checkout_id"])
    order.stock_checked_at = order.stock_checked_at or event.occurred_at
    lines = event.data["lines"]
    pieces = ", ".join(f"{line['missing']} of {line['quantity']} x {line['sku']}" for line in lines)
    missing = {line["sku"]: line["missing"] for line in lines}
    detail, cause, return_id = f"Not in stock: {pieces}.", Cause.from_event(event), event.data["return_id"]
    if return_id:
        detail = f"Not in stock: {pieces}. Their refund failed, but they were already sold again."
    is_new = open_review(session, order, ReviewReason.OVERSOLD, detail, cause, subject=return_id or "", missing=missing)
    if is_new and return_id:
        correct_taken(session, return_id, missing)


@handlers.on("stripe.refund.created", "stripe.refund.updated", "stripe.refund.failed", "stripe.charge.refund.updated")
def book_reported_refund(event: Event, session: Session) -> None:
    """Book a refund, made by our request or in Stripe's dashboard. If its payment is not known yet, store the event."""
    if order := get_order_or_park(session, event):
        book_refund(session, order, event.object, Cause.from_event(event))


@handlers.on(
    "stripe.charge.dispute.created",
    "stripe.charge.dispute.updated",
    "stripe.charge.dispute.closed",
    "stripe.charge.dispute.funds_withdrawn",
    "stripe.charge.dispute.funds_reinstated",
)
def book_reported_dispute(event: Event, session: Session) -> None:
    """Book a dispute or an inquiry of the customer's bank. If its payment is not known yet, store the event."""
    if order := get_order_or_park(session, event):
        book_dispute(session, order, event.object, Cause.from_event(event))


@handlers.on(*radar.ROUTING_KEYS)
def hold_for_review(event: Event, session: Session) -> None:
    """Hold the order of a payment that Stripe Radar or a person placed in review.

    An approval in Stripe's dashboard or an operator's decision releases the order.
    """
    if order := get_order_or_park(session, event):
        radar.record_radar_review(session, order, event.object, Cause.from_event(event))


@handlers.on(*radar.WARNING_ROUTING_KEYS)
def hold_for_warning(event: Event, session: Session) -> None:
    """Hold the order of a payment that the card's bank reports as probable fraud, if the warning needs an action."""
    if order := get_order_or_park(session, event):
        radar.record_fraud_warning(session, order, event.object, Cause.from_event(event))


def _record_customer(session: Session, order: Order, event: Event, cause: Cause) -> None:
    """Add what the customer entered. A postal address that arrives late resolves the review of the missing address.

    Refunds that were booked before the e-mail address was known are published again.
    """
    was_missing, was_unknown = order.is_address_missing, order.customer_email is None
    order.record_customer(event.object)
    if was_unknown and order.customer_email and order.refunds:
        before_commit(session, publish_refunds_again, (order, cause))
    if was_missing and not order.is_address_missing and order.paid_at is not None:
        add_entry(session, order, cause, EntryKind.ADDRESS_ADDED, "The shipping address has arrived from Stripe.")
        release_review(session, order, ReviewReason.MISSING_ADDRESS, "", STRIPE_ACTOR, cause)


def _record_success(session: Session, order: Order, payment: Payment, event: Event) -> None:
    _add_payment_intent(order, payment.id)
    if payment.mark_succeeded():
        update_totals(order)
        update_fulfillment(session, order)
        text = f"Stripe received {_amount(payment)} ({payment.id})."
        add_entry(session, order, Cause.from_event(event), EntryKind.PAYMENT_SUCCEEDED, text)


def _add_payment_intent(order: Order, payment_intent: str | None) -> None:
    order.payment_intent = order.payment_intent or payment_intent


def _amount(payment: Payment) -> str:
    return format_amount(payment.amount, payment.currency)
