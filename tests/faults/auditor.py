"""The auditor: compares Stripe's ledger with every service's database, the broker's queues and the sent e-mails.

It reads the tables itself and does not ask the services. So no wrong answer of a service can hide a difference.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from events.database.engine import Database
from events.messaging import topology
from events.messaging.event import STRIPE
from sqlalchemy import text

from tests.faults.stripe_ledger import Outcome, StripeLedger

PUBLISHING = ("checkout", "orders", "inventory")
DEAD_LETTER_QUEUES = tuple(map(topology.dead_letter_queue, topology.BINDINGS))


class Kind(StrEnum):
    """The kinds of differences."""

    LOST = "lost"
    DUPLICATE = "duplicate"  # an effect happened twice
    STUCK = "stuck"  # it is not finished, although nothing is left to do
    UNEXPECTED = "unexpected"  # it has no cause at Stripe


@dataclass(frozen=True)
class Finding:
    """One difference: its kind, and a sentence that says where it is."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Auditor:
    """Compares a ledger with the databases (by service), the e-mails and the queues.

    `mails` returns how often each Message-ID was received. `queues` returns the routing keys of the messages in the
    given queues.
    """

    databases: Mapping[str, Database]
    mails: Callable[[], Mapping[str, int]]
    queues: Callable[[Sequence[str]], Mapping[str, Sequence[str]]]

    def remaining_work(self, ledger: StripeLedger) -> list[str]:
        """Return what the services still have to do, from a few fast counts. It is empty when `audit` can run."""
        # Inboxes before outboxes: an event that is handled by now has already written its outbox rows.
        inboxes = {
            service: dict(self._rows(service, "SELECT status, count(*) FROM inbox GROUP BY status"))
            for service in topology.BINDINGS
        }
        unacknowledged = sum(not sent.is_acknowledged for sent in ledger.events.values())
        found = [f"{unacknowledged} events not acknowledged"] if unacknowledged else []
        expected = Counter(service for sent in ledger.events.values() for service in _receivers(STRIPE + sent.type))
        for service in PUBLISHING:
            for key, count, unpublished in self._rows(
                service, "SELECT routing_key, count(*), count(*) - count(published_at) FROM outbox GROUP BY routing_key"
            ):
                expected.update(dict.fromkeys(_receivers(key), count))
                found += [f"{service}: {unpublished} unpublished {key}"] if unpublished else []
        for service, by_status in inboxes.items():
            handled = by_status.pop("done", 0) + by_status.pop("ignored", 0)
            found += [f"{service}: {handled} of {expected[service]} events handled"] * (handled < expected[service])
            found += [f"{service}: {count} events {status}" for status, count in by_status.items()]
        unsent = self._rows("notifications", "SELECT status, count(*) FROM emails GROUP BY status")
        found += [f"{count} e-mails {status}" for status, count in unsent if status in ("pending", "sending")]
        return found

    def audit(self, ledger: StripeLedger) -> list[Finding]:
        """Return every difference. `ledger` must contain everything that Stripe has ever sent to these services."""
        checks = (
            self._check_events,
            self._check_outboxes,
            self._check_payments,
            self._check_stock,
            self._check_emails,
            self._check_queues,
        )
        return [finding for check in checks for finding in check(ledger)]

    def count_handled(self, ledger: StripeLedger) -> int:
        """Return how many acknowledged events are done or ignored in every service that receives them."""
        handled = {service: self._handled_ids(service) for service in topology.BINDINGS}
        return sum(
            all(sent.id in handled[service] for service in _receivers(STRIPE + sent.type))
            for sent in ledger.acknowledged
        )

    def count_received(self, service: str) -> int:
        """Return the number of events in a service's inbox."""
        [(count,)] = self._rows(service, "SELECT count(*) FROM inbox")
        return int(count)

    def longest_stall_s(self, since: float) -> float:
        """Return the longest time in seconds in which a service neither received nor finished an event.

        The time is counted from `since` (Unix time) to the service's last event.
        """
        longest = 0.0
        for service in topology.BINDINGS:
            rows = self._rows(service, "SELECT received_at, finished_at FROM inbox")  # aware times, from PostgreSQL
            moments = {since, *(at.timestamp() for row in rows for at in row if at and at.timestamp() > since)}
            in_order = sorted(moments)
            longest = max([longest, *(later - earlier for earlier, later in itertools.pairwise(in_order))])
        return longest

    def _check_events(self, ledger: StripeLedger) -> Iterator[Finding]:
        acknowledged = ledger.acknowledged
        for sent in ledger.events.values():
            if not sent.is_acknowledged:
                answers = [answer.status for answer in sent.answers]
                yield Finding(Kind.STUCK, f"{sent.id} ({sent.type}) was never delivered, answers {answers}")
        for service in topology.BINDINGS:
            rows = {row.event_id: row for row in self._rows(service, "SELECT event_id, source, status FROM inbox")}
            for sent in acknowledged:
                if service in _receivers(STRIPE + sent.type) and sent.id not in rows:
                    yield Finding(
                        Kind.LOST, f"{sent.id} ({sent.type}) was acknowledged, but {service} has no row of it"
                    )
            for row in rows.values():
                if row.status not in ("done", "ignored"):
                    yield Finding(Kind.STUCK, f"{service}: {row.event_id} is {row.status}")
                if row.source == "webhooks" and row.event_id not in ledger.events:
                    yield Finding(Kind.UNEXPECTED, f"{service}: Stripe never made {row.event_id}")

    def _check_outboxes(self, _ledger: StripeLedger) -> Iterator[Finding]:
        """Check the services' own events: each outbox row is published and handled by every receiver."""
        handled = {service: self._handled_ids(service) for service in topology.BINDINGS}
        for service in PUBLISHING:
            for event_id, key, published_at in self._rows(
                service, "SELECT event_id, routing_key, published_at FROM outbox"
            ):
                if published_at is None:
                    yield Finding(Kind.STUCK, f"{service}: {event_id} ({key}) is not published")
                    continue
                for receiver in _receivers(key):
                    if event_id not in handled[receiver]:
                        yield Finding(Kind.LOST, f"{event_id} ({key}) was published, but {receiver} did not handle it")

    def _check_payments(self, ledger: StripeLedger) -> Iterator[Finding]:
        orders = {row.checkout_id: row for row in self._rows("orders", "SELECT checkout_id, status FROM orders")}
        booked = defaultdict(list)
        for checkout_id, currency, amount in self._rows(
            "orders",
            "SELECT checkout_id, payments.currency, amount FROM payments JOIN orders ON orders.id = order_id"
            " WHERE payments.paid_at IS NOT NULL",
        ):
            booked[checkout_id].append((currency, amount))
        for purchase in ledger.purchases:
            order = orders.get(purchase.checkout_id)
            if order is None or order.status != purchase.outcome:
                seen = order.status if order else "missing"
                yield Finding(Kind.LOST, f"order of {purchase.checkout_id}: {seen}, at Stripe {purchase.outcome}")
            expected = [(purchase.currency, purchase.amount)] if purchase.outcome == Outcome.PAID else []
            yield from _compare(
                f"payments of {purchase.checkout_id}", Counter(expected), Counter(booked[purchase.checkout_id])
            )
        at_stripe = _sums((p.currency, p.amount) for p in ledger.purchases if p.outcome == Outcome.PAID)
        if at_stripe != (sums := _sums(payment for payments in booked.values() for payment in payments)):
            kind = Kind.DUPLICATE if sum(sums.values()) > sum(at_stripe.values()) else Kind.LOST
            yield Finding(kind, f"Stripe took {dict(at_stripe)}, orders booked {dict(sums)}")

    def _check_stock(self, ledger: StripeLedger) -> Iterator[Finding]:
        sold: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for checkout_id, sku, delta in self._rows(
            "inventory", "SELECT checkout_id, sku, delta FROM movements WHERE kind = 'sale'"
        ):
            sold[checkout_id][sku] -= delta
        for purchase in ledger.purchases:
            expected = Counter(purchase.lines) if purchase.outcome == Outcome.PAID else Counter[str]()
            yield from _compare(
                f"stock sold to {purchase.checkout_id}", expected, sold.pop(purchase.checkout_id, Counter())
            )
        for checkout_id, pieces in sold.items():
            yield Finding(Kind.UNEXPECTED, f"{dict(pieces)} sold to {checkout_id}, which is not paid at Stripe")
        for sku, on_hand, moved, reserved in self._rows(
            "inventory",
            "SELECT sku, on_hand, (SELECT coalesce(sum(delta), 0) FROM movements AS m WHERE m.sku = stock_items.sku),"
            " reserved FROM stock_items",
        ):
            if on_hand != moved:
                kind = Kind.DUPLICATE if on_hand < moved else Kind.LOST
                yield Finding(kind, f"{sku}: {on_hand} on hand, but the movements add up to {moved}")
            if reserved:
                yield Finding(Kind.STUCK, f"{sku}: {reserved} still reserved")
        for (checkout_id,) in self._rows("inventory", "SELECT checkout_id FROM reservations WHERE status = 'held'"):
            yield Finding(Kind.STUCK, f"the reservation of {checkout_id} is still held")

    def _check_emails(self, ledger: StripeLedger) -> Iterator[Finding]:
        """Check one e-mail per occasion. Copies with one Message-ID count as one: SMTP cannot prevent a copy."""
        received = self.mails()
        written, known = defaultdict(list), set()
        for row in self._rows("notifications", "SELECT checkout_id, kind, status, message_id FROM emails"):
            written[row.checkout_id].append(row)
            known.add(row.message_id)
        for purchase in ledger.purchases:
            emails = written[purchase.checkout_id]
            sent = Counter(email.kind for email in emails if email.status == "sent" and received.get(email.message_id))
            optional = Counter({kind: 1 for kind in purchase.optional_emails if sent[kind]})
            yield from _compare(f"e-mails to {purchase.recipient}", Counter(purchase.required_emails) + optional, sent)
            for email in emails:
                if email.status in ("pending", "sending", "failed"):
                    yield Finding(Kind.STUCK, f"{email.kind} to {purchase.recipient} is {email.status}")
        for message_id in received.keys() - known:
            yield Finding(Kind.UNEXPECTED, f"{message_id} was received, but notifications has no row of it")

    def _check_queues(self, _ledger: StripeLedger) -> Iterator[Finding]:
        queues = (topology.UNROUTED, *topology.BINDINGS, *DEAD_LETTER_QUEUES)
        for queue, keys in self.queues(queues).items():
            for key, count in Counter(keys).items():
                if queue in DEAD_LETTER_QUEUES:
                    yield Finding(Kind.UNEXPECTED, f"{count} {key} in {queue}")
                elif queue in topology.BINDINGS:
                    yield Finding(Kind.STUCK, f"{count} {key} still in {queue}")
                elif receivers := _receivers(key):
                    yield Finding(Kind.UNEXPECTED, f"{count} {key} in {queue}, but {', '.join(receivers)} must get it")

    def _handled_ids(self, service: str) -> set[str]:
        rows = self._rows(service, "SELECT event_id FROM inbox WHERE status IN ('done', 'ignored')")
        return {event_id for (event_id,) in rows}

    def _rows(self, service: str, statement: str) -> Sequence[Any]:
        with self.databases[service].read() as session:
            return session.execute(text(statement)).all()


@cache
def _receivers(routing_key: str) -> list[str]:
    return topology.queues_for(routing_key)


def _compare(what: str, expected: Counter[Any], found: Counter[Any]) -> Iterator[Finding]:
    if missing := expected - found:
        yield Finding(Kind.LOST, f"{what}: {dict(missing)} missing")
    if surplus := found - expected:
        yield Finding(Kind.DUPLICATE, f"{what}: {dict(surplus)} too many")


def _sums(amounts: Iterable[tuple[str, int]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for currency, amount in amounts:
        sums[currency] += amount
    return sums
