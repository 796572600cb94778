"""The audit after a run: nothing is unfinished, and each purchase has its order, its e-mails and its stock."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from events.messaging import topology
from events.testing.waiting import wait_until

from bench.soak.customers import Ending
from bench.soak.sampling import PUBLISHING
from bench.soak.system import STOCK_PIECES, WITH_DATABASE, SoakSystem

DRAIN_TIMEOUT_S = 180.0  # without progress
ORDERS = {  # the order's status and its refund status
    Ending.CARD: ("paid", "none"),
    Ending.DECLINED: ("paid", "none"),
    Ending.DELAYED: ("paid", "none"),
    Ending.REFUNDED: ("paid", "full"),
    Ending.CANCELED: ("canceled", "none"),
    Ending.ABANDONED: ("expired", "none"),
}
EMAILS = {
    Ending.CARD: ("order_confirmed",),
    Ending.DECLINED: ("order_confirmed",),
    Ending.DELAYED: ("order_confirmed", "payment_pending"),
    Ending.REFUNDED: ("order_confirmed", "refund_succeeded"),
    Ending.CANCELED: (),
    Ending.ABANDONED: (),
}
MAX_EXAMPLES = 5  # of one kind of difference


class Audit:
    """Compares the customers' purchases with the services' databases, the queues and the mail server."""

    def __init__(self, system: SoakSystem, purchases: Mapping[str, Ending]) -> None:
        self._system, self._purchases = system, purchases

    def wait_until_drained(self) -> None:
        """Wait until nothing is left to do. Raises `TimeoutError` when nothing changes for `DRAIN_TIMEOUT_S`."""
        wait_until(lambda: not self.remaining(), DRAIN_TIMEOUT_S, "the last event", progress=self.remaining)

    def remaining(self) -> list[str]:
        """Return what is still to do, as sentences."""
        stripe = self._system.stripe
        open_sessions = sum(s["status"] == "open" for s in stripe.account.store.all("checkout.session"))
        undelivered = sum(bool(event["pending_webhooks"]) for event in stripe.account.store.all("event"))
        counts = {"open sessions at Stripe": open_sessions, "events not delivered": undelivered}
        depths = self._system.broker.depths()
        counts |= {f"messages in {name}": depths[name] for name in topology.BINDINGS}
        for service in WITH_DATABASE:
            query = "SELECT count(*) FROM inbox WHERE status NOT IN ('done', 'ignored', 'failed')"
            counts[f"inbox rows of {service}"] = self._rows(service, query)[0][0]
        for service in PUBLISHING:
            query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            counts[f"outbox rows of {service}"] = self._rows(service, query)[0][0]
        query = "SELECT count(*) FROM emails WHERE status IN ('pending', 'sending')"
        counts["e-mails not sent"] = self._rows("notifications", query)[0][0]
        query = "SELECT status, count(*) FROM orders GROUP BY status"
        by_status = dict(self._rows("orders", query))
        counts["open orders"] = by_status.get("open", 0) + by_status.get("payment_pending", 0)
        missing = len(self._purchases) - sum(by_status.values())
        return [f"{count} {what}" for what, count in {**counts, "missing orders": missing}.items() if count]

    def findings(self) -> list[str]:
        """Return every difference as a sentence. It is empty if nothing was lost and nothing happened twice."""
        checks = (self._check_orders, self._check_emails, self._check_stock, self._check_failures)
        return [*self.remaining(), *(finding for check in checks for finding in check())]

    def _check_orders(self) -> Iterator[str]:
        rows = self._rows("orders", "SELECT checkout_id, status, refund_status, needs_review FROM orders")
        found = {checkout: (status, refunded) for checkout, status, refunded, _ in rows}
        expected = {checkout: ORDERS[ending] for checkout, ending in self._purchases.items()}
        yield from _differences("orders", expected, found)
        reviewed = sum(bool(row[3]) for row in rows)
        if reviewed:
            yield f"{reviewed} orders need a review"

    def _check_emails(self) -> Iterator[str]:
        query = "SELECT checkout_id, array_agg(kind ORDER BY kind) FROM emails WHERE status = 'sent' GROUP BY 1"
        found = {checkout: tuple(kinds) for checkout, kinds in self._rows("notifications", query)}
        expected = {checkout: EMAILS[ending] for checkout, ending in self._purchases.items() if EMAILS[ending]}
        yield from _differences("e-mails", expected, found)
        sent, accepted = sum(map(len, found.values())), self._system.mails()
        if sent != accepted:
            yield f"{sent} e-mails sent, but the mail server has {accepted}"

    def _check_stock(self) -> Iterator[str]:
        query = (
            "SELECT sku, on_hand, reserved,"
            " (SELECT coalesce(sum(delta), 0) FROM movements WHERE movements.sku = stock_items.sku) FROM stock_items"
        )
        for sku, on_hand, reserved, moved in self._rows("inventory", query):
            if reserved or on_hand != moved or on_hand > STOCK_PIECES:
                yield f"stock of {sku}: {on_hand} on hand, {reserved} reserved, the movements add up to {moved}"
        sales = self._rows("inventory", "SELECT count(DISTINCT checkout_id) FROM movements WHERE kind = 'sale'")[0][0]
        paid = sum(ORDERS[ending][0] == "paid" for ending in self._purchases.values())
        if sales != paid:
            yield f"stock was sold to {sales} checkouts, but {paid} are paid"

    def _check_failures(self) -> Iterator[str]:
        for service in WITH_DATABASE:
            failed = self._rows(service, "SELECT count(*) FROM inbox WHERE status = 'failed'")[0][0]
            if failed:
                yield f"{failed} failed inbox rows of {service}"
        depths = self._system.broker.depths()
        for name in map(topology.dead_letter_queue, topology.BINDINGS):
            if depths[name]:
                yield f"{depths[name]} dead letters in {name}"

    def _rows(self, service: str, query: str) -> Sequence[Any]:
        with self._system.server.connect(service) as connection:
            return connection.execute(query).fetchall()


def _differences(what: str, expected: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    """Yield how often one value was found instead of another, with the first checkout ids."""
    different: dict[tuple[object, object], list[str]] = {}
    for checkout in expected.keys() | found.keys():
        pair = expected.get(checkout), found.get(checkout)
        if pair[0] != pair[1]:
            different.setdefault(pair, []).append(checkout)
    for (wanted, seen), checkouts in different.items():
        examples = ", ".join(checkouts[:MAX_EXAMPLES])
        yield f"{what} of {len(checkouts)} checkouts are {seen} instead of {wanted}: {examples}"


def count_endings(purchases: Mapping[str, Ending]) -> Mapping[Ending, int]:
    """Return the number of purchases by their ending."""
    counts = Counter(purchases.values())
    return {ending: counts[ending] for ending in Ending}
