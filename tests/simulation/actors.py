"""The people of a world: customers, their banks, operators, staff in Stripe's dashboard, and strangers."""

import copy
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from events.database.engine import Database
from events.messaging import outbox
from events.messaging.inbox_models import InboxEvent
from events.messaging.topology import STRIPE_TYPES
from notifications.models import Email
from orders import erasure
from orders.models.orders import Order
from orders.reconciliation.run import Reconciliation
from orders.reconciliation.stripe import StripeRecords
from sqlalchemy import select
from webhooks.backfill import Backfill, Report, StripeEvents

from demo.fake_stripe import control, disputes, radar, refunds, session_payments, sessions
from demo.fake_stripe.account import AUTOMATIC
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.store import Object, new_id
from tests.simulation.installation import PROMOTION_CODES, STOCK

if TYPE_CHECKING:
    from tests.simulation.world import World

# The acts with their weights.
ACTS = {
    "start a checkout": 9,
    "pay": 12,
    "cancel the checkout": 1,
    "let the session expire": 2,
    "recover a cart": 2,
    "let the bank answer": 2,
    "ship": 4,
    "ship lines": 2,
    "refund all": 1,
    "refund an amount": 2,
    "refund lines": 3,
    "cancel": 1,
    "resolve a review": 3,
    "adjust the stock": 2,
    "count the stock": 1,
    "refund in the dashboard": 1,
    "let a refund fail": 2,
    "dispute": 1,
    "decide a dispute": 2,
    "review at radar": 2,
    "erase": 2,
    "release a reservation": 1,
    "replay the inbox": 1,
    "discard in the inbox": 1,
    "resend a mail": 1,
    "unsubscribe": 1,
    "run the backfill": 1,
    "run the reconciliation": 1,
    "pause": 1,
    "resume": 1,
    "a stranger pays": 1,
    "wait": 3,
}
ACTORS = {
    **dict.fromkeys(("start a checkout", "pay", "cancel the checkout", "recover a cart", "unsubscribe"), "a customer"),
    **dict.fromkeys(("let the session expire", "a stranger pays", "wait"), "the world outside"),
    **dict.fromkeys(("let the bank answer", "let a refund fail", "dispute", "decide a dispute"), "a bank"),
    **dict.fromkeys(("refund in the dashboard", "review at radar"), "a person in Stripe's dashboard"),
}
METHODS = {
    "card": 10,
    "decline": 2,
    "sepa_success": 2,
    "sepa_fail": 1,
    "voucher": 1,
    "voucher_expires": 1,
    "dispute": 1,
    "failing_refund": 1,
    "slow_refund": 1,
}
REPUBLISHED_DAYS = 6  # outbox rows are kept for seven
LISTED_DAYS = 29  # Stripe lists events for 30 days
ODD_TYPES = ("charge.expired", "payment_intent.partially_funded", "charge.captured", "product.created")
ODD_TEXTS = ("x" * 300, "line\nbreak", "chk_of_another_system")  # checkout ids of other integrations
OPEN_REFUNDS = ("pending", "requires_action", "succeeded")


@dataclass(frozen=True)
class Act:
    """One act. Its details follow from the seed and its number, so leaving out another act does not change them."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"act {self.number}: {self.name}"

    @property
    def sentence(self) -> str:
        """Say what happens, for a person who reads a trace."""
        return f"Act {self.number}: {ACTORS.get(self.name, 'an operator')} decides to {self.name}."


def plan_acts(chance: Random) -> list[Act]:
    """Return the acts of a seed."""
    names = chance.choices([*ACTS], [*ACTS.values()], k=chance.choice((4, 12, 25, 40, 60)))
    return [Act(number, name) for number, name in enumerate(["start a checkout", "pay", *names])]


@dataclass
class Purchase:
    """A checkout that a customer has started, and the words by which one could find the customer."""

    checkout_id: str
    session_id: str
    email: str
    name: str
    street: str
    erased: bool = False
    sessions: list[str] = field(default_factory=list)


class People:
    """Everybody who acts in a world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.purchases: list[Purchase] = []
        self.strangers: list[str] = []
        self.unsubscribed: dict[str, float] = {}  # when, by address
        self.discarded: set[str] = set()  # checkouts of which operators discarded an event of notifications

    def do(self, act: Act) -> None:
        """Do an act. If there is nothing to do it with, nothing happens."""
        chance = Random(f"{self.world.plan.seed}/act/{act.number}")
        acting: Callable[[Random, Act], None] = getattr(self, act.name.replace(" ", "_"))
        self.world.say(str(act))
        try:
            acting(chance, act)
        except StripeError as error:
            self.world.say(f"  Stripe refuses: {error}")

    def end_exceptions(self) -> None:
        """Resume what operators have paused, and requeue the dead letters, of which operators have an alert."""
        for service in self.world.workers:
            self.world.call(service, "POST", "/ops/resume", {"reason": "the end"}, operator="zoe")
        self.world.bus.requeue_dead()

    # customers

    def start_a_checkout(self, chance: Random, act: Act) -> None:
        skus = chance.sample([*STOCK], chance.choice((1, 1, 1, 2)))
        repeated = chance.random() < 0.2 and self.purchases
        email = chance.choice(self.purchases).email if repeated else f"zoe.{act.number}.n@example.com"
        body: dict[str, Any] = {
            "items": [{"sku": sku, "quantity": chance.choice((1, 1, 2, 3))} for sku in skus],
            "currency": "eur",
        }
        if chance.random() < 0.8:
            body["customer_email"] = email
        if chance.random() < 0.7:
            body["shipping_option"] = chance.choice(("standard", "express"))
        if chance.random() < 0.3:
            body["discount_code"] = chance.choice(("TEN", "ONCE", "GIFT"))
        key = f"cart-{act.number}"
        for _ in range(chance.choice((1, 1, 1, 2))):  # two tabs, or an impatient customer
            answer = self.world.call("checkout", "POST", "/checkout/sessions", body, key=key)
            if answer is None or answer.status_code != 201:
                continue
            started = answer.get_json()
            if all(known.checkout_id != started["checkout_id"] for known in self.purchases):
                words = f"Zoë N{act.number}N", f"Lindenweg {act.number}a"
                self.purchases.append(Purchase(started["checkout_id"], started["session_id"], email, *words))

    def pay(self, chance: Random, act: Act) -> None:
        method = chance.choices([*METHODS], [*METHODS.values()])[0]
        if found := self._session(chance, "open"):
            purchase = self._purchase_of(found)
            typed = {"name": purchase.name, "line1": purchase.street} if purchase else {}
            email = purchase.email if purchase else None
            if len(found["shipping_options"]) > 1 and chance.random() < 0.5:
                typed["shipping_rate"] = chance.choice(found["shipping_options"])["shipping_rate"]
            if chance.random() < 0.15:
                typed["promotion_code"] = chance.choice([*PROMOTION_CODES])
            self.world.say(f"  {found['id'][-8:]} with {method} {typed.get('promotion_code', '')}".rstrip())
            control.pay_session(self.world.account, found, method, email, 0.0, typed)

    def cancel_the_checkout(self, chance: Random, act: Act) -> None:
        if self.purchases:
            purchase = chance.choice(self.purchases)
            self.world.call("checkout", "POST", f"/checkout/sessions/{purchase.checkout_id}/cancel")

    def let_the_session_expire(self, chance: Random, act: Act) -> None:
        if found := self._session(chance, "open"):
            sessions.expire(self.world.account, found, AUTOMATIC)

    def recover_a_cart(self, chance: Random, act: Act) -> None:
        if found := self._session(chance, "expired"):
            sessions.recover(self.world.account, found)

    def let_the_bank_answer(self, chance: Random, act: Act) -> None:
        if found := self._session(chance, "complete"):
            session_payments.finish_delayed(self.world.account, found)

    def a_stranger_pays(self, chance: Random, act: Act) -> None:
        """Let another application of the account be paid: its objects have no metadata of ours."""
        if charges := self.world.account.store.all("charge"):
            other = copy.deepcopy(chance.choice(charges)) | {"id": new_id("ch"), "metadata": {}}
            other["payment_intent"] = new_id("pi")
            self.strangers.append(other["payment_intent"])
            self.world.account.emit("charge.succeeded", other)
            refund = {"id": new_id("re"), "object": "refund", "amount": 5, "currency": "eur", "metadata": {}}
            refund |= {"charge": other["id"], "payment_intent": other["payment_intent"], "status": "succeeded"}
            self.world.account.emit("refund.created", refund | {"created": self.world.account.now(), "reason": None})

        self._show_odd_events(chance)

    def _show_odd_events(self, chance: Random) -> None:
        """Let another application make events whose metadata, time and type are of no use here."""
        account = self.world.account
        other: Object = {"id": new_id("ch"), "object": "charge", "payment_intent": None, "metadata": {}, "amount": 5}
        other["metadata"] = {"checkout_id": chance.choice(ODD_TEXTS)}
        kind = chance.choice(ODD_TYPES)
        with account.store.lock:
            event = account._event(kind, other, None, AUTOMATIC)
            event["created"] = chance.choice((event["created"], -62_135_596_800, 2**40))
            account.webhooks.send(account.store.add(event))

    def unsubscribe(self, chance: Random, act: Act) -> None:
        """Let a mail program send what the link in a promotional e-mail says (RFC 8058)."""
        if found := [mail for mail in self.world.mails if mail["List-Unsubscribe"]]:
            mail = chance.choice(found)
            path = "/unsubscribe/" + str(mail["List-Unsubscribe"]).strip("<> ").rpartition("/")[2]
            began = self.world.nature.now
            answer = self.world.call("notifications", "POST", path, form="List-Unsubscribe=One-Click")
            if answer is not None and answer.status_code == 200:
                self.unsubscribed.setdefault(str(mail["To"]), max(began, self.world.nature.now))

    def wait(self, chance: Random, act: Act) -> None:
        self.world.nature.advance(chance.choice((60, 600, 3600, 24 * 3600)))

    # banks and Stripe's dashboard

    def dispute(self, chance: Random, act: Act) -> None:
        if charge := self._charge(chance):
            disputes.open_dispute(self.world.account, charge, inquiry=chance.random() < 0.3)

    def decide_a_dispute(self, chance: Random, act: Act) -> None:
        if found := self.world.account.store.all("dispute"):
            dispute = chance.choice(found)
            if following := sorted(disputes.NEXT_STATUSES.get(dispute["status"], ())):
                disputes.advance(self.world.account, dispute, chance.choice(following))

    def review_at_radar(self, chance: Random, act: Act) -> None:
        if charge := self._charge(chance):
            store = self.world.account.store
            warned = [one for one in store.all("radar.early_fraud_warning") if one["charge"] == charge["id"]]
            reviewed = any(one["charge"] == charge["id"] and one["open"] for one in store.all("review"))
            if warned and chance.random() < 0.6:
                warning = chance.choice(warned)
                warning["actionable"] = False
                self.world.account.emit("radar.early_fraud_warning.updated", warning, {"actionable": True})
            elif chance.random() < 0.3:
                radar.warn(self.world.account, charge)
            elif reviewed:
                radar.close_review(self.world.account, charge, chance.choice(("approved", "refunded_as_fraud")))
            else:
                radar.open_review(self.world.account, charge)

    def refund_in_the_dashboard(self, chance: Random, act: Act) -> None:
        if charge := self._charge(chance):
            params: Object = {"charge": charge["id"], "metadata": {}}
            if chance.random() < 0.7:
                params["amount"] = chance.randint(1, charge["amount"])
            refunds.create_refund(self.world.account, params, AUTOMATIC)

    def let_a_refund_fail(self, chance: Random, act: Act) -> None:
        found = [one for one in self.world.account.store.all("refund") if one["status"] in OPEN_REFUNDS]
        if found:
            refunds.advance(self.world.account, chance.choice(found), "failed", "unknown")

    # operators

    def ship(self, chance: Random, act: Act) -> None:
        body: dict[str, Any] = {"all": True, "carrier": "DHL", "tracking": f"JD{act.number}"}
        if chance.random() < 0.2:
            body["override"] = "the customer insists"
        self._operate(chance, act, "shipments", body)

    def ship_lines(self, chance: Random, act: Act) -> None:
        self._operate_lines(chance, act, "shipments", {})

    def refund_all(self, chance: Random, act: Act) -> None:
        self._operate(chance, act, "refunds", {"all": True, "restock": chance.random() < 0.5})

    def refund_an_amount(self, chance: Random, act: Act) -> None:
        self._operate(chance, act, "refunds", {"amount": chance.randint(1, 3000)})

    def refund_lines(self, chance: Random, act: Act) -> None:
        if chance.random() < 0.3:
            refunds.queue_first_status(self.world.account, chance.choice(("pending", "requires_action")))
        self._operate_lines(chance, act, "refunds", {"restock": chance.random() < 0.6})
        self.world.account.next_refund_statuses.clear()

    def cancel(self, chance: Random, act: Act) -> None:
        body = {"refund": chance.random() < 0.7, "restock": chance.random() < 0.7}
        self._operate(chance, act, "cancel", body)

    def resolve_a_review(self, chance: Random, act: Act) -> None:
        decision = chance.choice(("accept", "refund", "cancel"))
        self._operate(chance, act, "review", {"decision": decision}, only=lambda order: order.needs_review)

    def adjust_the_stock(self, chance: Random, act: Act) -> None:
        sku = chance.choice([*STOCK])
        body = {"adjust": chance.choice((-2, -1, 1, 3)), "reason": "found or lost"}
        self.world.call("inventory", "POST", f"/stock/{sku}/movements", body, operator="max", key=f"stock-{act.number}")

    def count_the_stock(self, chance: Random, act: Act) -> None:
        sku = chance.choice([*STOCK])
        counted_at = (self.world.nature.utcnow() - timedelta(minutes=chance.choice((0, 5, 60)))).isoformat()
        body = {"on_hand": chance.randint(0, 5), "counted_at": counted_at, "reason": "inventory"}
        self.world.call("inventory", "POST", f"/stock/{sku}/movements", body, operator="max", key=f"stock-{act.number}")

    def release_a_reservation(self, chance: Random, act: Act) -> None:
        if self.purchases:
            path = f"/reservations/{chance.choice(self.purchases).checkout_id}/release"
            body = {"reason": "needed in the shop", "override": chance.random() < 0.5}
            self.world.call("inventory", "POST", path, body, operator="max")

    def replay_the_inbox(self, chance: Random, act: Act) -> None:
        service = chance.choice([*self.world.workers])
        status = chance.choice(("waiting", "retrying", "failed", "ignored"))
        body = {"status": status, "limit": 50, "reason": "again"}
        self.world.call(service, "POST", "/ops/inbox/retry", body, operator="zoe")

    def discard_in_the_inbox(self, chance: Random, act: Act) -> None:
        """Discard events of notifications: their e-mails are then missing, as the operator wants it."""
        body = {"status": chance.choice(("waiting", "retrying", "failed")), "limit": 1, "reason": "not needed"}
        answer = self.world.call("notifications", "POST", "/ops/inbox/discard", body, operator="zoe")
        if answer is not None and answer.status_code == 200:
            self.discarded.update(self._checkouts_of(answer.get_json()["event_ids"]))

    def resend_a_mail(self, chance: Random, act: Act) -> None:
        with self.world.installation.databases["notifications"].read() as session:
            emails = list(session.scalars(select(Email.id).where(Email.status == "sent").order_by(Email.id)))
        if emails:
            path = f"/notifications/{chance.choice(emails)}/resend"
            for _ in range(chance.choice((1, 2))):
                self.world.call("notifications", "POST", path, {}, operator="max", key=f"resend-{act.number}")

    def run_the_backfill(self, chance: Random, act: Act) -> None:
        self.backfill(chance.choice((1, 24, 24 * 7)) * 3600)

    def run_the_reconciliation(self, chance: Random, act: Act) -> None:
        self.reconcile()

    def backfill(self, back_s: float) -> bool:
        """Publish again what Stripe lists of the last `back_s` seconds. Return True if the command came to its end."""
        listed, now = StripeEvents(self.world.installation.stripe), self.world.nature.utcnow()
        broker = self.world.installation.broker

        def run_at_once(call: Callable[[], Any]) -> "Future[Any]":
            done: Future[Any] = Future()
            done.set_result(call())
            return done

        def run() -> None:
            job = Backfill(broker, listed, Report(), run_at_once, livemode=False, types=STRIPE_TYPES)
            for _ in job.run(now - timedelta(seconds=back_s), now):
                pass

        return self.world.run_command("webhooks backfill", run)

    def republish(self) -> None:
        """Publish again what the broker may have lost: Stripe's events, and those of the outboxes."""
        done = self.backfill(LISTED_DAYS * 24 * 3600)
        since = self.world.nature.utcnow() - timedelta(days=REPUBLISHED_DAYS)
        for service in ("checkout", "orders", "inventory"):
            database: Database = self.world.installation.databases[service]
            done &= self.world.run_command(f"{service} outbox", lambda d=database: outbox.republish(d, since))  # type: ignore[misc]
        self.world.bus.has_lost = not done

    def _checkouts_of(self, event_ids: list[str]) -> set[str]:
        with self.world.installation.databases["notifications"].read() as session:
            found = session.scalars(select(InboxEvent.correlation_id).where(InboxEvent.event_id.in_(event_ids)))
            return {checkout_id for checkout_id in found if checkout_id}

    def pause(self, chance: Random, act: Act) -> None:
        service = chance.choice([*self.world.workers])
        self.world.call(service, "POST", "/ops/pause", {"reason": "a look"}, operator="zoe")

    def resume(self, chance: Random, act: Act) -> None:
        for service in self.world.workers:
            self.world.call(service, "POST", "/ops/resume", {"reason": "enough"}, operator="zoe")

    def erase(self, chance: Random, act: Act) -> None:
        if not self.purchases:
            return
        purchase = chance.choice(self.purchases)
        database: Database = self.world.installation.databases["orders"]
        request = erasure.ErasureRequest("zoe", "ticket 7")

        def run() -> None:
            for order in erasure.find_by_checkouts(database, [purchase.checkout_id]):
                outcome = erasure.erase_customer(database, order, request)
                purchase.erased = purchase.erased or not outcome.blockers
                self.world.say(f"  erasure of {purchase.checkout_id}: {'; '.join(outcome.blockers) or 'done'}")

        self.world.run_command("orders erase-customer", run)

    def reconcile(self) -> None:
        """Run the job that compares Stripe's objects with the orders, and repairs what it can."""
        database: Database = self.world.installation.databases["orders"]
        since = self.world.nature.utcnow() - timedelta(days=20)

        def run() -> None:
            reconciliation = Reconciliation(database, StripeRecords(self.world.installation.stripe), since)
            for difference in list(reconciliation.differences()):
                repaired = reconciliation.repair(difference)
                self.world.say(f"  reconcile: {repaired.kind} {repaired.text}")

        self.world.run_command("orders reconcile", run)

    def _operate_lines(self, chance: Random, act: Act, action: str, body: dict[str, Any]) -> None:
        def lines(order: Order) -> dict[str, Any]:
            line = chance.choice(order.lines)
            return {**body, "lines": [{"sku": line.sku, "quantity": chance.randint(1, line.quantity)}]}

        self._operate(chance, act, action, lines)

    def _operate(
        self,
        chance: Random,
        act: Act,
        action: str,
        body: dict[str, Any] | Callable[[Order], dict[str, Any]],
        only: Callable[[Order], bool] = lambda order: order.paid_at is not None,
    ) -> None:
        with self.world.installation.databases["orders"].read() as session:
            orders = [order for order in session.scalars(select(Order).order_by(Order.id)) if only(order)]
        if not orders:
            return
        order = chance.choice(orders)
        sent = body(order) if callable(body) else body
        twice = chance.choice(((0,), (0,), (0, 0), (0, 1)))  # a double click, or two browsers
        for browser in twice:
            operator = ("zoe", "max")[browser]
            key = f"act-{act.number}-{browser}"
            self.world.call("orders", "POST", f"/orders/{order.id}/{action}", sent, operator=operator, key=key)

    def _session(self, chance: Random, status: str) -> Object | None:
        """Return a session that a customer knows: no customer has the URL of a request without an answer."""
        known = {purchase.session_id for purchase in self.purchases}
        sessions_of_ours = self.world.account.store.all("checkout.session")
        known |= {one["id"] for one in sessions_of_ours if one["recovered_from"]}
        found = [one for one in sessions_of_ours if one["status"] == status and one["id"] in known]
        return chance.choice(found) if found else None

    def _charge(self, chance: Random) -> Object | None:
        found = [one for one in self.world.account.store.all("charge") if one["status"] == "succeeded"]
        return chance.choice(found) if found else None

    def _purchase_of(self, stripe_session: Object) -> Purchase | None:
        checkout_id = stripe_session["metadata"].get("checkout_id")
        return next((one for one in self.purchases if one.checkout_id == checkout_id), None)
