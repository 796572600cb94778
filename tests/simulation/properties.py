"""The properties of every world: of each e-mail at the moment it is sent, and of everything once the world is at rest.

The checks compare the tables with Stripe's own objects. A reason to wait, such as an open review, is part of a check.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from checkout.models import Checkout, DiscountUse
from events.messaging import outbox, topology
from events.messaging.contracts.reviews import ReviewReason
from events.messaging.event import STRIPE
from events.messaging.handlers import NO_HANDLER
from events.messaging.inbox import RETENTION, UNHANDLED_RETENTION
from events.messaging.inbox_models import DISCARDED, DONE, IGNORED, InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import HANDLED
from events.testing.columns import columns_with
from inventory.models import COMMITTED, HELD, Movement, Reservation, ReservationLine, StockItem
from notifications.kinds import CUSTOMER_KINDS, PROMOTIONAL_KINDS, STALE_AFTER_OUTCOME, CheckoutOutcome, Kind
from notifications.models import CheckoutFacts, Email, subject_of
from orders.goods import load_goods
from orders.models.disputes import Dispute
from orders.models.orders import Order, OrderStatus
from orders.models.payments import Payment
from orders.models.refunds import Refund, RefundRequest
from orders.models.reviews import Review
from orders.models.shipments import Shipment
from orders.models.timeline import EntryKind, TimelineEntry
from sqlalchemy import func, select

from tests.simulation.adversary import KINDS
from tests.simulation.nature import BEGINNING

if TYPE_CHECKING:
    from tests.simulation.world import World

PUBLISHING = ("checkout", "orders", "inventory")
COPYING = (
    *("mail answer lost", "crash after mail", "crash before commit", "crash after commit", "lease lapses"),
    *("database away", "database frozen", "commit answer lost", "others act meanwhile"),
    "process pauses",
    *("clock is wrong", "clock jumps"),
)
STEPS_PER_CHECK = 8
_held = (
    select(func.coalesce(func.sum(ReservationLine.quantity), 0))
    .join(Reservation, Reservation.checkout_id == ReservationLine.checkout_id)
    .where(Reservation.status == HELD, ReservationLine.sku == StockItem.sku)
    .scalar_subquery()
)
KEPT = RETENTION - timedelta(days=1)  # a clock that is wrong prunes earlier
# Orders handles these a second time once their payment is known (unmatched_events.py).
PARKED = ("stripe.refund.", "stripe.charge.refund.", "stripe.charge.dispute.", "stripe.review.", "stripe.radar.")
NOT_HELD = select(StockItem.sku, StockItem.reserved).where(StockItem.reserved != _held)
EXPLANATIONS: Mapping[str, str] = {  # the entry that explains a status
    OrderStatus.PAID: EntryKind.PAID,
    OrderStatus.PAYMENT_FAILED: EntryKind.PAYMENT_FAILED,
    OrderStatus.PAYMENT_PENDING: EntryKind.PAYMENT_PENDING,
    OrderStatus.EXPIRED: EntryKind.EXPIRED,
    OrderStatus.CANCELED: EntryKind.CANCELED,
    OrderStatus.OPEN: EntryKind.STARTED,
}
REFUND_ENTRIES = (EntryKind.REFUND_SUCCEEDED, EntryKind.REFUND_FAILED)
DISPUTE_ENTRIES = (EntryKind.DISPUTE_OPENED, EntryKind.DISPUTE_UPDATED, EntryKind.DISPUTE_CLOSED)
FINAL_MAILS = ("sent", "suppressed", "unknown", "digested")
assert set(COPYING) <= KINDS.keys()


def check_mail(world: "World", mail: EmailMessage) -> Iterator[str]:
    """Yield what is wrong with an e-mail at the moment the server receives it."""
    databases = world.installation.databases
    with databases["notifications"].read() as session:
        row = session.scalars(select(Email).where(Email.message_id == str(mail["Message-ID"]).strip())).first()
        checkout = session.get(CheckoutFacts, row.checkout_id) if row and row.checkout_id else None
    if row is None:
        yield f"{mail['Message-ID']} was sent, but notifications has no row of it"
        return
    kind = row.kind
    is_resent, is_sure = row.resend_of is not None, not world.others_acted  # they may act while an e-mail is sent
    unsubscribed_at = world.people.unsubscribed.get(str(mail["To"]))
    if kind in PROMOTIONAL_KINDS and unsubscribed_at is not None and unsubscribed_at < world.loop_began:
        yield f"{kind} of {row.checkout_id} was sent to an address that is unsubscribed"
    if row.recipient and str(mail["To"]) != row.recipient:
        yield f"{kind} of {row.checkout_id} went to {mail['To']}"
    if checkout and checkout.erased_at and kind in CUSTOMER_KINDS and is_sure:
        yield f"{kind} of {row.checkout_id} was sent to an erased customer"
    is_paid = checkout is not None and checkout.outcome == CheckoutOutcome.PAID
    if is_sure and not is_resent and is_paid and kind in STALE_AFTER_OUTCOME[CheckoutOutcome.PAID]:
        yield f"{kind} of {row.checkout_id} was sent although the order is paid"
    with databases["orders"].read() as session:
        order = session.scalars(select(Order).where(Order.checkout_id == row.checkout_id)).first()
        if kind == Kind.ORDER_CONFIRMED and (order is None or order.paid_at is None):
            yield f"{row.checkout_id} was confirmed, but is not paid"
        if kind == Kind.ORDER_CONFIRMED and is_sure and order and order.stock_doubt and order.stock_checked_at is None:
            yield f"{row.checkout_id} was confirmed, but inventory has not answered yet if its stock is there"
        if kind == Kind.ORDER_SHIPPED and session.get(Shipment, subject_of(row.subject_key)) is None:
            yield f"{row.checkout_id} was announced as shipped, but is not"
    if kind == Kind.REFUND_SUCCEEDED and subject_of(row.subject_key) not in _refunds_that_succeeded(world):
        yield f"the refund {row.subject_key} was announced, but has not succeeded"


def check(world: "World") -> list[str]:
    """Return every property that does not hold at rest."""
    checks = (
        _check_messages,
        _check_effects,
        _check_sessions,
        _check_refunds,
        _check_disputes,
        _check_stock,
        _check_goods,
        _check_checkouts,
        _check_timeline,
        _check_mails,
        _check_erasure,
    )
    found = [text for one in checks for text in one(world)]
    for text in found:
        world.say(f"VIOLATION {text}")
    return found


def check_step(world: "World") -> None:
    """Check after some steps that the reserved pieces are those of the reservations that are held."""
    world.steps += 1
    if world.steps % STEPS_PER_CHECK:
        return
    with world.installation.databases["inventory"].read() as session:
        for sku, reserved in session.execute(NOT_HELD):
            world.violate(f"{sku}: {reserved} are reserved, and the held reservations have other sums")


def check_claimed(world: "World", row: InboxEvent) -> None:
    """Check that a retried event is claimed: otherwise another worker has already ended this attempt."""
    if not row.is_interrupted:
        world.violate(f"{row.event_id} is retried without a claim of this attempt")


def check_confirmed(world: "World", event_id: str) -> None:
    """Check that the broker has confirmed an event for which Stripe gets a 200: Stripe does not send it again."""
    if event_id not in world.bus.confirmed:
        world.violate(f"Stripe gets a 200 for {event_id}, which the broker has not confirmed")


def newest_for_others(world: "World", service: str, refusing: str) -> list[str]:
    """Return the ids of the events that a relay publishes first after a failure, except those for `refusing`."""
    with world.installation.databases[service].read() as session:
        statement = select(OutboxEvent).where(OutboxEvent.published_at.is_(None)).order_by(OutboxEvent.event_id.desc())
        rows = session.scalars(statement.limit(outbox.CLAIM_BATCH_SIZE)).all()
    return [row.event_id for row in rows if refusing not in topology.queues_for(row.routing_key)]


def check_starved(world: "World", service: str, event_ids: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each of these events that a relay has not published while one queue takes nothing."""
    with world.installation.databases[service].read() as session:
        for event_id in event_ids:
            row = session.get(OutboxEvent, event_id)
            if row and row.published_at is None:
                yield f"{service} did not publish {event_id} ({row.routing_key}) while another queue took nothing"


def check_unhandled(world: "World") -> Iterator[str]:
    """Yield a sentence for each event without a handler whose payload is gone before the next release."""
    since = world.nature.utcnow() - UNHANDLED_RETENTION + timedelta(days=1)
    for service in world.installation.databases:
        for row in _rows(world, service, InboxEvent):
            if row.status == IGNORED and row.error == NO_HANDLER and row.body is None and row.received_at > since:
                yield f"{service} has no payload of {row.routing_key} {row.event_id}, which has no handler yet"


def check_arrivals(world: "World") -> Iterator[str]:
    """Yield a sentence for each published event that has not arrived, and each that arrived under a key of no event.

    Check this before any outbox row is pruned, and after operators have repaired what the broker has lost.
    """
    arrived = {service: {row.event_id for row in _rows(world, service, InboxEvent)} for service in topology.BINDINGS}
    in_broker = [message for queue in world.bus.queues.values() for message in queue]
    for message in (*in_broker, *world.bus.unacked, *world.bus.dead):
        arrived[message.queue].add(message.event.id)
    for service in PUBLISHING:
        for row in _rows(world, service, OutboxEvent):
            for receiver in topology.queues_for(row.routing_key) if row.published_at else ():
                if row.event_id not in arrived[receiver]:
                    yield f"{service} has published {row.event_id} ({row.routing_key}), and {receiver} never got it"
    for service in topology.BINDINGS:
        for row in _rows(world, service, InboxEvent):
            if service not in topology.queues_for(row.routing_key):
                yield f"{service} has {row.event_id} under the key {row.routing_key}, which its queue does not take"


def _rows(world: "World", service: str, model: Any) -> list[Any]:
    with world.installation.databases[service].read() as session:
        return list(session.scalars(select(model)))


def _check_messages(world: "World") -> Iterator[str]:
    """Every receiver has handled every event, and nothing is left in a queue, an inbox or an outbox."""
    expected: dict[str, set[str]] = defaultdict(set)
    kept_since = world.nature.now - KEPT.total_seconds()
    pruned_before = world.nature.utcnow() - outbox.RETENTION - timedelta(hours=1)
    for event in world.account.store.all("event"):
        if event["pending_webhooks"]:
            yield f"{event['id']} ({event['type']}) was never delivered to the ingest"
        # A stranger's event can be from the year 2106: its row is pruned by the time at which it came.
        is_kept = kept_since <= event["created"] <= world.nature.now
        # If the broker loses an event that no service handles, it stays lost: the backfill does not list it.
        is_kept = is_kept and event["type"] in topology.STRIPE_TYPES
        for service in topology.queues_for(STRIPE + event["type"]) if is_kept else ():
            expected[service].add(event["id"])
    for service in PUBLISHING:
        for row in _rows(world, service, OutboxEvent):
            if row.published_at and row.published_at < pruned_before:
                yield f"{service} has not pruned {row.event_id} ({row.routing_key})"
            if row.published_at is None:
                yield f"{service} has not published {row.event_id} ({row.routing_key})"
            for receiver in topology.queues_for(row.routing_key):
                expected[receiver].add(row.event_id)
    yield from _check_inboxes(world, expected)
    waiting = {service: len(queue) for service, queue in world.bus.queues.items() if queue}
    if waiting or world.bus.dead or world.bus.unacked:
        yield f"in queues: {waiting}, dead letters: {len(world.bus.dead)}, unacknowledged: {len(world.bus.unacked)}"


def _check_inboxes(world: "World", expected: Mapping[str, set[str]]) -> Iterator[str]:
    dropped_since = world.nature.utcnow() - 2 * UNHANDLED_RETENTION  # as far back as a run of `prune` looks
    for service, event_ids in expected.items():
        rows = {row.event_id: row for row in _rows(world, service, InboxEvent)}
        for event_id in sorted(event_ids - rows.keys()):
            yield f"{service} has no row of {event_id}"
        for row in rows.values():
            if row.status == DISCARDED and service == "notifications":
                continue
            if row.status not in (DONE, IGNORED):
                yield f"{service}: {row.routing_key} {row.event_id} is {row.status}: {row.error}"
            elif row.body is not None and (row.error != NO_HANDLER or row.received_at > dropped_since):
                yield f"{service}: {row.routing_key} {row.event_id} is {row.status} and keeps its payload"


def _check_sessions(world: "World") -> Iterator[str]:
    """Stripe's sessions and the orders' payments are the same money."""
    payments = {row.id: row for row in _rows(world, "orders", Payment)}
    orders = {row.checkout_id: row for row in _rows(world, "orders", Order)}
    taken: dict[str, int] = {}  # by checkout, of those that are paid at Stripe
    for session in world.account.store.all("checkout.session"):
        checkout_id, is_free = session["metadata"]["checkout_id"], session["payment_status"] == "no_payment_required"
        # No customer got the URL of a session whose request died.
        if checkout_id not in orders and (session["status"] != "expired" or session["payment_intent"]):
            yield f"the session {session['id']} of {checkout_id} has no order"
        if session["status"] != "complete" or session["payment_status"] == "unpaid":
            continue
        payment = payments.pop(session["id"] if is_free else session["payment_intent"], None)
        if payment is None or payment.paid_at is None or payment.status != "succeeded":
            yield f"{checkout_id} is paid at Stripe with {session['id']}, but has no such payment"
        elif payment.amount != session["amount_total"]:
            yield f"{checkout_id}: Stripe took {session['amount_total']}, the payment says {payment.amount}"
        taken[checkout_id] = taken.get(checkout_id, 0) + session["amount_total"]
    for payment in payments.values():
        if payment.status == "succeeded":
            yield f"the payment {payment.id} succeeded, but not at Stripe"
    duplicates = Counter(
        row.order_id for row in _rows(world, "orders", Review) if row.reason == ReviewReason.DUPLICATE_PAYMENT
    )
    paid = Counter(row.order_id for row in _rows(world, "orders", Payment) if row.paid_at)
    for order in orders.values():
        yield from _check_order(order, taken)
        if duplicates[order.id] > max(0, paid[order.id] - 1):
            yield f"{order.checkout_id} was paid {paid[order.id]} times, and {duplicates[order.id]} reviews say more"


def _check_effects(world: "World") -> Iterator[str]:
    """No handler has succeeded more often than there are events of its kind in the inboxes."""
    if world.nature.now - BEGINNING > KEPT.total_seconds():
        return  # some rows are pruned
    rows: Counter[str] = Counter()
    for service in world.installation.databases:
        rows.update(row.routing_key for row in _rows(world, service, InboxEvent))
    for key, count in (handled_counts() - world.handled_before).items():
        if count > rows[key] and not key.startswith(PARKED):
            yield f"{key} took effect {count} times, the inboxes have {rows[key]} of them"


def handled_counts() -> Counter[str]:
    """Return how many events handlers have handled since the start of this process, by routing key."""
    counts: Counter[str] = Counter()
    for sample in next(iter(HANDLED.collect())).samples:
        if sample.name.endswith("_total") and sample.labels["outcome"] == DONE:
            counts[sample.labels["routing_key"]] = int(sample.value)
    return counts


def _check_order(order: Order, taken: Mapping[str, int]) -> Iterator[str]:
    if (order.paid_at is not None) != (order.checkout_id in taken):
        word = "paid" if order.checkout_id in taken else "not paid"
        yield f"{order.checkout_id} is {order.status}, at Stripe it is {word}"
    if (order.status == "paid") != (order.paid_at is not None):
        yield f"{order.checkout_id} is {order.status}, and was paid at {order.paid_at}"
    if order.amount_paid != taken.get(order.checkout_id, 0):
        yield f"{order.checkout_id} says {order.amount_paid} were paid, Stripe took {taken.get(order.checkout_id, 0)}"
    if order.status in ("open", "payment_pending"):
        yield f"{order.checkout_id} is still {order.status}"
    waits = order.needs_review or order.pieces_owed == 0
    if order.paid_at and order.paid_published_at is None and not waits:
        yield f"{order.checkout_id} is paid and not published, without a cause to wait"


def _check_refunds(world: "World") -> Iterator[str]:
    """Stripe's refunds and the booked ones are the same, and no request waits for an answer."""
    ours = {intent["id"] for intent in world.account.store.all("payment_intent")}
    at_stripe = {
        one["id"]: (one["status"], one["amount"])
        for one in world.account.store.all("refund")
        if one["payment_intent"] in ours
    }
    booked = {row.id: (row.status, row.amount) for row in _rows(world, "orders", Refund)}
    for refund_id in sorted(at_stripe.keys() | booked.keys()):
        if at_stripe.get(refund_id) != booked.get(refund_id):
            yield f"the refund {refund_id} is {at_stripe.get(refund_id)} at Stripe, booked as {booked.get(refund_id)}"
    for request in _rows(world, "orders", RefundRequest):
        if request.amount and request.is_unanswered:
            yield f"the refund request {request.id} has no answer: {request.error}"
    made = Counter(one["metadata"].get("refund_request") for one in world.account.store.all("refund"))
    for request_id, count in made.items():
        if request_id and count > 1:
            yield f"the refund request {request_id} made {count} refunds"


def _check_disputes(world: "World") -> Iterator[str]:
    at_stripe = {one["id"]: one["status"] for one in world.account.store.all("dispute")}
    booked = {row.id: row.status for row in _rows(world, "orders", Dispute)}
    if at_stripe != booked:
        yield f"disputes at Stripe {at_stripe}, booked {booked}"


def _check_stock(world: "World") -> Iterator[str]:
    """The shelf is what the movements say, and no piece is held at rest."""
    moved: Counter[str] = Counter()
    for movement in _rows(world, "inventory", Movement):
        moved[movement.sku] += movement.delta
    for item in _rows(world, "inventory", StockItem):
        if item.on_hand != moved[item.sku]:
            yield f"{item.sku}: {item.on_hand} on hand, the movements add up to {moved[item.sku]}"
        if item.reserved:
            yield f"{item.sku}: {item.reserved} still reserved"
    paid = {row.checkout_id for row in _rows(world, "orders", Order) if row.paid_at}
    with world.installation.databases["inventory"].read() as session:
        for reservation in session.scalars(select(Reservation)):
            if reservation.status == HELD:
                yield f"the reservation of {reservation.checkout_id} is still held"
            if (reservation.status == COMMITTED) != (reservation.checkout_id in paid):
                yield f"the reservation of {reservation.checkout_id} is {reservation.status}"


def _check_goods(world: "World") -> Iterator[str]:
    """Every bought piece has shipped, will not ship, or is owed; inventory and orders count the same pieces."""
    databases = world.installation.databases
    with databases["orders"].begin() as session, databases["inventory"].read() as stock:
        for order in session.scalars(select(Order).where(Order.paid_at.is_not(None))):
            goods, reservation = load_goods(order), stock.get(Reservation, order.checkout_id)
            if reservation is None:
                yield f"{order.checkout_id} is paid, but inventory has no reservation of it"
                continue
            counted = {line.sku: line for line in reservation.lines}
            if order.pieces_owed != sum(goods.owed.values()):
                yield f"{order.checkout_id} shows {order.pieces_owed} owed pieces, but owes {dict(goods.owed)}"
            for sku, bought in goods.bought.items():
                shipped, ended = goods.shipped.get(sku, 0), goods.refunded_unshipped.get(sku, 0)
                owed, line = goods.owed.get(sku, 0), counted[sku]
                if shipped + ended + owed != bought:
                    yield f"{order.checkout_id} {sku}: {shipped} shipped + {ended} ended + {owed} owed, not {bought}"
                if (line.shipped, line.canceled) != (shipped, ended):
                    yield (
                        f"{order.checkout_id} {sku}: orders counts {shipped} shipped and {ended} ended pieces,"
                        f" inventory {line.shipped} and {line.canceled}"
                    )
                left = stock.scalar(
                    select(func.coalesce(func.sum(Movement.delta), 0)).where(
                        Movement.checkout_id == order.checkout_id, Movement.sku == sku
                    )
                )
                if -(left or 0) > bought or (left or 0) > 0:
                    yield f"{order.checkout_id} {sku}: {-(left or 0)} of {bought} pieces have left the stock"
                if line.sold_unshipped > owed:
                    yield f"{order.checkout_id} {sku}: {line.sold_unshipped} wait for a parcel, only {owed} are owed"
                reasons = {review.reason for review in order.reviews}
                if line.missing and owed and "oversold" not in reasons:
                    yield f"{order.checkout_id} {sku}: {line.missing} are missing, and no review was opened"


def _check_checkouts(world: "World") -> Iterator[str]:
    """Every checkout has ended as its sessions say, and its discount with it."""
    by_checkout = defaultdict(list)
    for session in world.account.store.all("checkout.session"):
        by_checkout[session["metadata"]["checkout_id"]].append(session)
    uses = {row.checkout_id: row.status for row in _rows(world, "checkout", DiscountUse)}
    for row in _rows(world, "checkout", Checkout):
        found = by_checkout[row.id]
        is_complete = any(one["status"] == "complete" for one in found)
        is_paid = any(one["status"] == "complete" and one["payment_status"] != "unpaid" for one in found)
        if row.status in ("new", "open"):
            yield f"the checkout {row.id} is still {row.status}"
        if (row.status == "complete") != is_complete:
            yield f"the checkout {row.id} is {row.status}, its sessions are {[one['status'] for one in found]}"
        if is_complete and (row.payment_status == "paid") != is_paid:
            yield f"the checkout {row.id} has the payment status {row.payment_status}"
        if row.id in uses and uses[row.id] != ("used" if is_paid else "released"):
            yield f"the discount of {row.id} is {uses[row.id]}, {is_paid=}"
        if any(one["status"] == "open" for one in found):
            yield f"a session of {row.id} can still be paid"


def _check_timeline(world: "World") -> Iterator[str]:
    """Every status of an order has an entry that explains it, and every parcel, refund and dispute an entry."""
    found = {model: _by_order(world, model) for model in (TimelineEntry, Refund, Dispute, Shipment, Review)}
    for order in _rows(world, "orders", Order):
        kinds = Counter(entry.kind for entry in found[TimelineEntry][order.id])
        known = EXPLANATIONS[order.status]
        has_reviews = any(found[Review][order.id])
        needed = {
            f"is {order.status}": (1, (known,)),
            "was paid": (int(order.paid_at is not None), (EntryKind.PAID,)),
            "is erased": (int(order.erased_at is not None), (EntryKind.CUSTOMER_ERASED,)),
            "has parcels": (len(found[Shipment][order.id]), (EntryKind.SHIPPED,)),
            "needed a review": (int(has_reviews), (EntryKind.REVIEW_OPENED, EntryKind.RADAR)),
            "has resolved reviews": (
                int(any(one.decision for one in found[Review][order.id])),
                (EntryKind.REVIEW_RESOLVED, EntryKind.RADAR, EntryKind.ADDRESS_ADDED),
            ),
            "has refunds": (_count(found[Refund][order.id], "succeeded", "failed"), REFUND_ENTRIES),
            "has failed refunds": (_count(found[Refund][order.id], "failed"), (EntryKind.REFUND_FAILED,)),
            "has disputes": (int(any(found[Dispute][order.id])), DISPUTE_ENTRIES),
            "has closed disputes": (_count(found[Dispute][order.id], "won", "lost"), (EntryKind.DISPUTE_CLOSED,)),
        }
        for what, (count, explaining) in needed.items():
            if sum(kinds[kind] for kind in explaining) < count:
                yield f"{order.checkout_id} {what}, and its timeline does not say so: {dict(kinds)}"


def _count(rows: Sequence[Any], *statuses: str) -> int:
    return sum(row.status in statuses for row in rows)


def _by_order(world: "World", model: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in _rows(world, "orders", model):
        found[row.order_id].append(row)
    return found


def _check_mails(world: "World") -> Iterator[str]:
    """Every occasion has its e-mail, and an e-mail arrives twice only after a fault that can cause a copy."""
    emails = _rows(world, "notifications", Email)
    arrived = Counter(str(mail["Message-ID"]).strip() for mail in world.mails)
    can_copy = any(kind in COPYING for kind, _ in world.adversary.hits)
    written: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for email in emails:
        subjects = written[email.checkout_id, email.kind]
        if (
            email.resend_of is None
            and subject_of(email.subject_key) in map(subject_of, subjects)
            and "#" not in email.subject_key
        ):
            yield f"{email.kind} of {email.checkout_id} is written twice about {email.subject_key}"
        subjects.add(email.subject_key)
        if email.status not in FINAL_MAILS:
            yield f"{email.kind} of {email.checkout_id} is {email.status}: {email.error}"
        if email.status == "sent" and not arrived[email.message_id]:
            yield f"{email.kind} of {email.checkout_id} is sent, but never arrived"
        if arrived[email.message_id] > 1 and not can_copy:
            yield f"{email.kind} of {email.checkout_id} arrived {arrived[email.message_id]} times"
    yield from _check_occasions(world, written)


def _check_occasions(world: "World", written: Mapping[tuple[str | None, str], set[str]]) -> Iterator[str]:
    orders = {row.id: row for row in _rows(world, "orders", Order) if row.customer_email}  # an erased one has none
    for order in orders.values():
        if order.checkout_id in world.people.discarded:
            continue
        if order.paid_published_at and not written.get((order.checkout_id, Kind.ORDER_CONFIRMED)):
            yield f"{order.checkout_id} is published as paid, and its customer has no confirmation"
    occasions = [(Kind.ORDER_SHIPPED, row) for row in _rows(world, "orders", Shipment)]
    occasions += [(Kind.REFUND_SUCCEEDED, row) for row in _rows(world, "orders", Refund) if row.status == "succeeded"]
    for kind, row in occasions:
        known = orders.get(row.order_id)
        if known and known.checkout_id in world.people.discarded:
            continue
        if known and row.id not in written.get((known.checkout_id, kind), ()):
            yield f"{row.id} of {known.checkout_id} has no e-mail {kind}"


def _check_erasure(world: "World") -> Iterator[str]:
    """No word of an erased customer is left in any database."""
    erased = {row.checkout_id for row in _rows(world, "orders", Order) if row.erased_at}
    others = {row.customer_email for row in _rows(world, "checkout", Checkout)}  # also of requests without an answer
    others |= {row.customer_email for row in _rows(world, "orders", Order)}
    for purchase in world.people.purchases:
        if purchase.checkout_id not in erased:
            continue
        words = [purchase.name, purchase.street, *({purchase.email} - others)]
        for service, database in world.installation.databases.items():
            if found := columns_with(database, *words):
                yield f"{service} still has the erased customer of {purchase.checkout_id} in {', '.join(found)}"


def _refunds_that_succeeded(world: "World") -> set[str]:
    """Return the refunds that succeed, or once did: one can fail later, and Stripe can forget its events."""
    events = [event["data"]["object"] for event in world.account.store.all("event")]
    known = [one for one in events if one["object"] == "refund"] + world.account.store.all("refund")
    booked = {row.id for row in _rows(world, "orders", Refund) if row.status == "succeeded"}
    return booked | {one["id"] for one in known if one["status"] == "succeeded"}
