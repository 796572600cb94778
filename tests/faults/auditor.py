"""The auditor: compares what Stripe knows with what every service's database, the broker and the customers hold.

It reads the tables itself instead of asking the services, so that nothing that they say of themselves is believed.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.database.engine import Database
from events.messaging import topology
from sqlalchemy import text

from tests.faults.ledger import PAID, Ledger

LOST, TWICE, STUCK, STRAY = "lost", "twice", "stuck", "stray"
PUBLISHING = ("checkout", "orders", "inventory")
STRIPE = "stripe."
DEAD_QUEUES = tuple(map(topology.dead_letter_queue, topology.BINDINGS))


@dataclass(frozen=True)
class Finding:
    """One difference: its kind, and a sentence that says where to look."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Auditor:
    """`databases` by service; `mails` counts each Message-ID that was caught; `queues` tells the routing keys of the
    messages that lie in a queue."""

    databases: Mapping[str, Database]
    mails: Callable[[], Mapping[str, int]]
    queues: Callable[[Sequence[str]], Mapping[str, Sequence[str]]]

    def unsettled(self, ledger: Ledger) -> list[str]:
        """What is still to be done, by a few cheap counts; empty when it is time for `audit`."""
        # The inboxes before the outboxes: what has been handled by then has promised what follows from it.
        inboxes = {
            service: dict(self._rows(service, "SELECT status, count(*) FROM inbox GROUP BY status"))
            for service in topology.BINDINGS
        }
        undelivered = sum(not sent.acknowledged for sent in ledger.events.values())
        found = [f"{undelivered} events not acknowledged"] if undelivered else []
        expected = Counter(service for sent in ledger.events.values() for service in _takers(STRIPE + sent.type))
        for service in PUBLISHING:
            for key, count, unpublished in self._rows(
                service, "SELECT routing_key, count(*), count(*) - count(published_at) FROM outbox GROUP BY routing_key"
            ):
                expected.update(dict.fromkeys(_takers(key), count))
                found += [f"{service}: {unpublished} unpublished {key}"] if unpublished else []
        for service, by_status in inboxes.items():
            settled = by_status.pop("done", 0) + by_status.pop("ignored", 0)
            found += [f"{service}: {settled} of {expected[service]} events handled"] * (settled < expected[service])
            found += [f"{service}: {count} events {status}" for status, count in by_status.items()]
        unsent = self._rows("notifications", "SELECT status, count(*) FROM emails GROUP BY status")
        found += [f"{count} e-mails {status}" for status, count in unsent if status in ("pending", "sending")]
        return found

    def audit(self, ledger: Ledger) -> list[Finding]:
        """Every difference. `ledger` is the whole of what Stripe has ever told these services."""
        parts = (self._events, self._promises, self._payments, self._stock, self._mails, self._queues)
        return [finding for part in parts for finding in part(ledger)]

    def handled(self, ledger: Ledger) -> int:
        """How many of its acknowledged events are settled in every service whose queue takes them."""
        settled = {service: self._settled(service) for service in topology.BINDINGS}
        return sum(
            all(sent.id in settled[service] for service in _takers(STRIPE + sent.type)) for sent in ledger.acknowledged
        )

    def longest_stall(self, since: float) -> float:
        """The longest time, in seconds, in which one of the services settled no event, from `since` to its last."""
        worst = 0.0
        for service in topology.BINDINGS:
            rows = self._rows(service, "SELECT received_at, finished_at FROM inbox")  # PostgreSQL's, so aware
            moments = {since, *(at.timestamp() for row in rows for at in row if at and at.timestamp() > since)}
            in_turn = sorted(moments)
            worst = max([worst, *(later - at for at, later in itertools.pairwise(in_turn))])
        return worst

    def _events(self, ledger: Ledger) -> Iterator[Finding]:
        acknowledged = ledger.acknowledged
        for sent in ledger.events.values():
            if not sent.acknowledged:
                answers = [answer.status for answer in sent.answers]
                yield Finding(STUCK, f"{sent.id} ({sent.type}) was never delivered, answers {answers}")
        for service in topology.BINDINGS:
            rows = {row.event_id: row for row in self._rows(service, "SELECT event_id, source, status FROM inbox")}
            for sent in acknowledged:
                if service in _takers(STRIPE + sent.type) and sent.id not in rows:
                    yield Finding(LOST, f"{sent.id} ({sent.type}) was acknowledged, and {service} never got it")
            for row in rows.values():
                if row.status not in ("done", "ignored"):
                    yield Finding(STUCK, f"{service}: {row.event_id} is {row.status}")
                if row.source == "webhooks" and row.event_id not in ledger.events:
                    yield Finding(STRAY, f"{service}: Stripe never made {row.event_id}")

    def _promises(self, _ledger: Ledger) -> Iterator[Finding]:
        """The services' own events: what an outbox promised, each taker has."""
        settled = {service: self._settled(service) for service in topology.BINDINGS}
        for service in PUBLISHING:
            for event_id, key, published_at in self._rows(
                service, "SELECT event_id, routing_key, published_at FROM outbox"
            ):
                if published_at is None:
                    yield Finding(STUCK, f"{service}: {event_id} ({key}) is not published")
                    continue
                for taker in _takers(key):
                    if event_id not in settled[taker]:
                        yield Finding(LOST, f"{event_id} ({key}) was published, and {taker} never settled it")

    def _payments(self, ledger: Ledger) -> Iterator[Finding]:
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
                yield Finding(LOST, f"order of {purchase.checkout_id}: {seen}, at Stripe {purchase.outcome}")
            owed = [(purchase.currency, purchase.amount)] if purchase.outcome == PAID else []
            yield from _compare(
                f"payments of {purchase.checkout_id}", Counter(owed), Counter(booked[purchase.checkout_id])
            )
        at_stripe = _sums((p.currency, p.amount) for p in ledger.purchases if p.outcome == PAID)
        if at_stripe != (sums := _sums(each for found in booked.values() for each in found)):
            kind = TWICE if sum(sums.values()) > sum(at_stripe.values()) else LOST
            yield Finding(kind, f"Stripe took {dict(at_stripe)}, orders booked {dict(sums)}")

    def _stock(self, ledger: Ledger) -> Iterator[Finding]:
        sold: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for checkout_id, sku, delta in self._rows(
            "inventory", "SELECT checkout_id, sku, delta FROM movements WHERE kind = 'sale'"
        ):
            sold[checkout_id][sku] -= delta
        for purchase in ledger.purchases:
            owed = Counter(purchase.lines) if purchase.outcome == PAID else Counter[str]()
            yield from _compare(
                f"stock sold to {purchase.checkout_id}", owed, sold.pop(purchase.checkout_id, Counter())
            )
        for checkout_id, pieces in sold.items():
            yield Finding(STRAY, f"{dict(pieces)} sold to {checkout_id}, who paid nothing at Stripe")
        for sku, on_hand, moved, reserved in self._rows(
            "inventory",
            "SELECT sku, on_hand, (SELECT coalesce(sum(delta), 0) FROM movements AS m WHERE m.sku = stock_items.sku),"
            " reserved FROM stock_items",
        ):
            if on_hand != moved:
                yield Finding(TWICE if on_hand < moved else LOST, f"{sku}: {on_hand} on hand, moved {moved}")
            if reserved:
                yield Finding(STUCK, f"{sku}: {reserved} still reserved")
        for (checkout_id,) in self._rows("inventory", "SELECT checkout_id FROM reservations WHERE status = 'held'"):
            yield Finding(STUCK, f"the reservation of {checkout_id} is still open")

    def _mails(self, ledger: Ledger) -> Iterator[Finding]:
        """By occasion: a copy under the same Message-ID is the same mail; SMTP can promise no more (sender.py)."""
        caught = self.mails()
        written, known = defaultdict(list), set()
        for row in self._rows("notifications", "SELECT checkout_id, kind, status, message_id FROM emails"):
            written[row.checkout_id].append(row)
            known.add(row.message_id)
        for purchase in ledger.purchases:
            mails = written[purchase.checkout_id]
            sent = Counter(mail.kind for mail in mails if mail.status == "sent" and caught.get(mail.message_id))
            optional = Counter({kind: 1 for kind in purchase.may_get if sent[kind]})
            yield from _compare(f"e-mails to {purchase.recipient}", Counter(purchase.mails) + optional, sent)
            for mail in mails:
                if mail.status in ("pending", "sending", "failed"):
                    yield Finding(STUCK, f"{mail.kind} to {purchase.recipient} is {mail.status}")
        for message_id in caught.keys() - known:
            yield Finding(STRAY, f"{message_id} was sent, and notifications knows nothing of it")

    def _queues(self, _ledger: Ledger) -> Iterator[Finding]:
        for queue, keys in self.queues((topology.UNROUTED, *topology.BINDINGS, *DEAD_QUEUES)).items():
            for key, count in Counter(keys).items():
                if queue in DEAD_QUEUES:
                    yield Finding(STRAY, f"{count} {key} in {queue}")
                elif queue in topology.BINDINGS:
                    yield Finding(STUCK, f"{count} {key} still in {queue}")
                elif takers := _takers(key):
                    yield Finding(STRAY, f"{count} {key} in {queue}, though {', '.join(takers)} take it")

    def _settled(self, service: str) -> set[str]:
        rows = self._rows(service, "SELECT event_id FROM inbox WHERE status IN ('done', 'ignored')")
        return {event_id for (event_id,) in rows}

    def _rows(self, service: str, statement: str) -> Sequence[Any]:
        with self.databases[service].read() as session:
            return session.execute(text(statement)).all()


def _takers(routing_key: str) -> list[str]:
    found = _TAKERS.get(routing_key)
    if found is None:
        found = _TAKERS[routing_key] = topology.queues_for(routing_key)
    return found


_TAKERS: dict[str, list[str]] = {}


def _compare(what: str, owed: Counter[Any], found: Counter[Any]) -> Iterator[Finding]:
    if missing := owed - found:
        yield Finding(LOST, f"{what}: {dict(missing)} missing")
    if surplus := found - owed:
        yield Finding(TWICE, f"{what}: {dict(surplus)} too many")


def _sums(amounts: Any) -> Counter[str]:
    sums: Counter[str] = Counter()
    for currency, amount in amounts:
        sums[currency] += amount
    return sums
