"""Reconciliation: finds what no webhook reported, to the minor unit, and repairs it through the handlers."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from click.testing import CliRunner, Result
from events import stripe_api
from events.database.engine import Database
from events.messaging import outbox
from events.messaging.contracts.reviews import ReviewDecision
from events.messaging.event import own_event
from events.testing.bus import Bus, deliver, outbox_events
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event
from orders.__main__ import main
from orders.chains import CHAINS
from orders.handlers import handlers
from orders.models.base import Base
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import Refund
from orders.reconciliation import stripe as stripe_records
from orders.reviews import resolve
from sqlalchemy import select, update

from demo.fake_stripe.server import FakeStripe

HOUR = 3600
PRICE = 1999
Reconcile = Callable[..., Result]


class Shop:
    """A shop that sells at the fake Stripe, whose webhooks are delivered only on request."""

    def __init__(self, fake: FakeStripe, client: stripe.StripeClient, database: Database) -> None:
        self.fake, self.client, self.database = fake, client, database

    def start(self, checkout_id: str, *, starts_order: bool = True, ours: bool = True) -> str:
        """Create a session, and its order if `checkout.checkout.started` is delivered; return the session's id."""
        metadata = {"checkout_id": checkout_id} if ours else {}
        price: Any = {"currency": "eur", "unit_amount": PRICE, "product_data": {"name": "Tee"}}
        session = self.client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/thanks",
                "metadata": metadata,
                "payment_intent_data": {"metadata": metadata},
                "after_expiration": {"recovery": {"enabled": True}},
            }
        )
        if starts_order and ours:
            self._start_order(checkout_id, session.id)
        return session.id

    def buy(self, checkout_id: str, method: str = "card", **options: bool) -> str:
        session_id = self.start(checkout_id, **options)
        self.fake.pay(session_id, method)
        return session_id

    def deliver_webhooks(self, pattern: str = "*") -> None:
        """Deliver the webhooks of these types."""
        for event in self.fake.events(pattern):
            deliver(self.database, handlers, as_bus_event(event))

    def order(self, checkout_id: str) -> Order:
        with self.database.read() as session:
            return session.scalars(select(Order).where(Order.checkout_id == checkout_id)).one()

    def status(self, checkout_id: str) -> str:
        return self.order(checkout_id).status

    def run_workers(self) -> None:
        """Publish the outbox and handle all events."""
        Bus({"orders": (self.database, handlers)}).run_until_idle()

    def confirm_stock(self, checkout_id: str) -> None:
        """Deliver inventory's event that it took the stock."""
        data = {"checkout_id": checkout_id}
        deliver(self.database, handlers, own_event("inventory.reservation.committed", data, correlation_id=checkout_id))

    def change(self, model: type[Base], **values: Any) -> None:
        """Change the rows of a table."""
        with self.database.begin() as session:
            session.execute(update(model).values(**values))

    def _start_order(self, checkout_id: str, session_id: str) -> None:
        amounts = {"amount_subtotal": PRICE, "amount_discount": 0, "amount_shipping": 0, "amount_total": PRICE}
        line = {"sku": "TEE", "name": "Tee", "quantity": 1, "unit_amount": PRICE, "amount_total": PRICE}
        now = datetime.now(UTC)
        data = {
            "checkout_id": checkout_id,
            "session_id": session_id,
            "livemode": False,
            "currency": "eur",
            **amounts,
            "expires_at": now + timedelta(hours=1),
            "lines": [line],
        }
        deliver(self.database, handlers, own_event("checkout.checkout.started", data, correlation_id=checkout_id))


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database(CHAINS)


@pytest.fixture
def clock() -> dict[str, float]:
    """The seconds by which Stripe's clock is behind, so that new objects are older than `MIN_CHANGE_AGE`."""
    return {"behind": HOUR}


@pytest.fixture
def shop(clock: dict[str, float], database: Database) -> Iterator[Shop]:
    fake = FakeStripe(followup_delay=HOUR, sepa_delay=HOUR, time_source=lambda: time.time() - clock["behind"])
    with fake, stripe_api.closing_client("sk_test_x", fake.url) as client:
        yield Shop(fake, client, database)


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    monkeypatch.setattr(stripe_api, "MAX_RETRIES", 0)
    environment = {
        "DATABASE_URL": str(shop.database.engine.url),
        "BROKER_URL": "memory://",
        "OPERATOR_TOKENS": "ana:operator-token-of-ana",
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": shop.fake.url,
    }
    return lambda *arguments: CliRunner().invoke(main, ["reconcile", *arguments], env=environment)


def kinds(result: Result) -> list[str]:
    return [difference["kind"] for difference in json.loads(result.stdout)["differences"]]


def test_equal_orders_have_no_differences(shop: Shop, run: Reconcile) -> None:
    shop.buy("chk_1")
    shop.start("chk_2")
    shop.deliver_webhooks()
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 sessions since")
    assert "differences: 0" in result.stdout


def test_lost_payment_is_printed_and_repaired(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    result = run()
    assert result.exit_code == 1
    expected = (
        f"{shop.order('chk_1').number} chk_1: {session_id} is paid at Stripe with 1999 eur, but the order is open."
    )
    assert expected in result.stdout.splitlines()
    assert outbox_events(shop.database) == []

    repair = run("--repair")
    assert repair.exit_code == 0
    assert f"repaired: evt_recovered_{session_id}_completed_paid" in repair.stdout
    [event] = outbox_events(shop.database)
    assert (event.id, event.routing_key) == (
        f"evt_recovered_{session_id}_completed_paid",
        "stripe.checkout.session.completed",
    )
    assert (event.source, event.correlation_id, event.object["id"]) == ("orders", "chk_1", session_id)

    shop.run_workers()
    order = shop.order("chk_1")
    assert (order.status, order.needs_review, order.customer_email) == ("paid", False, "zoe.mueller@example.com")
    assert run().exit_code == 0
    shop.deliver_webhooks()  # the lost one arrives late
    assert run().exit_code == 0
    assert [event.type for event in outbox_events(shop.database)].count("orders.order.paid") == 1


def test_second_repair_adds_no_event(shop: Shop, run: Reconcile) -> None:
    shop.buy("chk_1")
    assert run("--repair").exit_code == run("--repair").exit_code == 0
    assert len(outbox_events(shop.database)) == 1


def test_event_that_stripe_never_made_is_repaired(shop: Shop, run: Reconcile) -> None:
    shop.fake.add_fault("not_created", type="checkout.session.completed")
    shop.buy("chk_1")
    shop.deliver_webhooks()
    assert shop.status("chk_1") == "open"
    run("--repair")
    shop.run_workers()
    assert shop.status("chk_1") == "paid"
    assert run().exit_code == 0


@pytest.mark.parametrize(
    ("method", "has_ended", "webhooks", "kind", "missing_event", "status"),
    [
        ("sepa_success", False, "-", "not-completed", "completed", "payment_pending"),
        ("sepa_success", True, "-", "not-paid", "completed", "paid"),
        ("sepa_success", True, "*.completed", "not-paid", "async_payment_succeeded", "paid"),
        ("sepa_fail", True, "-", "not-async-payment-failed", "async_payment_failed", "payment_failed"),
        ("sepa_fail", True, "*.completed", "not-async-payment-failed", "async_payment_failed", "payment_failed"),
    ],
)
def test_delayed_payment_is_repaired(
    shop: Shop,
    run: Reconcile,
    method: str,
    has_ended: bool,
    webhooks: str,
    kind: str,
    missing_event: str,
    status: str,
) -> None:
    session_id = shop.buy("chk_1", method)
    shop.deliver_webhooks(webhooks)
    if has_ended:
        shop.fake.settle(session_id)
    assert kinds(run("--json")) == [kind]
    [difference] = json.loads(run("--repair", "--json").stdout)["differences"]
    assert difference["repaired_by"].startswith(f"evt_recovered_{session_id}_{missing_event}_")
    shop.run_workers()
    assert shop.status("chk_1") == status
    assert run().exit_code == 0


def test_recovered_completion_counts_unpaid_and_paid(shop: Shop, run: Reconcile) -> None:
    """Without webhooks, checkout's sweeper finds the session unpaid and paid, too."""
    session_id = shop.buy("chk_1", "sepa_success")
    run("--repair")
    shop.run_workers()
    assert shop.status("chk_1") == "payment_pending"
    shop.fake.settle(session_id)
    with shop.database.begin() as session:
        found = shop.fake.session(session_id)
        event_id = outbox.recovered_event_id(found, "completed")
        outbox.add_recovered_stripe_event(
            session,
            "checkout.session.completed",
            found,
            event_id=event_id,
            correlation_id="chk_1",
            source="checkout",
        )
    shop.run_workers()
    assert shop.status("chk_1") == "paid"
    recovered = [event.id for event in outbox_events(shop.database) if event.is_stripe]
    assert sorted(recovered) == [f"evt_recovered_{session_id}_completed_{status}" for status in ("paid", "unpaid")]


def test_lost_expiry_is_repaired_with_its_recovery_link(shop: Shop, run: Reconcile) -> None:
    session_id = shop.start("chk_1")
    shop.fake.expire(session_id)
    assert kinds(run("--json")) == ["not-expired"]
    run("--repair")
    shop.run_workers()
    order = shop.order("chk_1")
    assert (order.status, order.recovery_url) == ("expired", f"{shop.fake.url}/r/{session_id}")
    assert run().exit_code == 0


def test_declined_card_is_no_difference(shop: Shop, run: Reconcile) -> None:
    from demo.fake_stripe.errors import StripeError

    with pytest.raises(StripeError, match="declined"):
        shop.buy("chk_1", "decline")
    assert run().exit_code == 0


@pytest.mark.parametrize(
    ("model", "change", "texts"),
    [
        (Order, {"amount_total": 1998}, {"amount-mismatch": "The customer paid 19.99 EUR instead of 19.98 EUR."}),
        (Order, {"currency": "usd"}, {"currency-mismatch": "The customer paid in EUR instead of USD."}),
        (
            Payment,
            {"amount": 1998},
            {
                "payment-differs": "paid at Stripe with 1999 eur, but 1998 eur",
                "charge-differs": "Stripe received 1999 eur",
            },
        ),
        (Payment, {"currency": "usd"}, {"payment-differs": "but 1999 usd is", "charge-differs": "but 1999 usd is"}),
        (Payment, {"paid_at": None}, {"not-paid": "paid at Stripe", "not-paid-at-stripe": "has no payment"}),
        (Order, {"status": "open"}, {"not-paid": "booked as paid, but the order is open"}),
    ],
)
def test_changed_amounts_are_printed_to_the_minor_unit(
    shop: Shop, run: Reconcile, model: type[Base], change: dict[str, Any], texts: dict[str, str]
) -> None:
    shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.change(model, **change)
    result = run("--json")
    assert result.exit_code == 1
    found = {difference["kind"]: difference["text"] for difference in json.loads(result.stdout)["differences"]}
    assert found.keys() == texts.keys()
    for kind, text in texts.items():
        assert text in found[kind]


def test_difference_without_a_missing_event_remains(shop: Shop, run: Reconcile) -> None:
    shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.change(Payment, amount=1)
    assert run("--repair").exit_code == 1
    assert "repaired: 0" in run("--repair").stdout


def test_mismatch_with_a_review_is_no_difference(shop: Shop, run: Reconcile) -> None:
    session_id = shop.start("chk_1")
    shop.change(Order, amount_total=1998)
    shop.fake.pay(session_id)
    shop.deliver_webhooks()
    assert shop.order("chk_1").review_reason == "amount-mismatch"
    assert run().exit_code == 0


def test_order_that_is_unpaid_at_stripe_is_printed(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.fake.session(session_id).update(payment_status="unpaid", status="open")
    result = run("--json")
    assert kinds(result) == ["not-paid-at-stripe"]
    assert f"The order is paid with {session_id}, which is open at Stripe" in result.stdout


def test_order_whose_session_is_unknown_is_printed(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.fake.account.store.remove("checkout.session", session_id)
    assert set(kinds(run("--json"))) == {"no-session", "not-paid-at-stripe"}


def test_charge_of_an_unpaid_session_is_only_printed(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.fake.session(session_id).update(payment_status="unpaid", status="expired")
    result = run("--repair", "--json")
    assert (result.exit_code, kinds(result)) == (1, ["charged-unpaid"])
    assert outbox_events(shop.database) == []


def test_payment_of_a_session_before_since_is_found(shop: Shop, run: Reconcile, clock: dict[str, float]) -> None:
    clock["behind"] = 5 * HOUR
    session_id = shop.start("chk_1")
    clock["behind"] = HOUR
    shop.fake.pay(session_id)
    assert kinds(run("--since", "2h", "--json")) == ["not-paid"]


def test_paid_order_is_compared_with_any_old_session(shop: Shop, run: Reconcile, clock: dict[str, float]) -> None:
    clock["behind"] = 5 * HOUR
    session_id = shop.buy("chk_1", "sepa_success")
    shop.deliver_webhooks()
    shop.fake.settle(session_id)
    shop.deliver_webhooks()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.change(Payment, amount=1998)
    assert kinds(run("--since", "1h", "--json")) == ["payment-differs", "charge-differs"]


def test_session_without_an_order_is_only_printed(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1", starts_order=False)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"no order chk_1: {session_id} is complete and paid at Stripe" in result.stdout
    assert outbox_events(shop.database) == []


def test_sessions_of_another_shop_are_not_compared(shop: Shop, run: Reconcile) -> None:
    shop.buy("", ours=False)
    result = run()
    assert result.exit_code == 0
    assert result.stdout.startswith("0 sessions since")


def test_young_changes_are_not_compared(shop: Shop, run: Reconcile, clock: dict[str, float]) -> None:
    session_id = shop.start("chk_1")
    clock["behind"] = 10
    shop.buy("chk_2")
    shop.fake.pay(session_id)
    assert run().exit_code == 0
    clock["behind"] = HOUR


def test_payment_during_the_run_is_no_difference(shop: Shop, run: Reconcile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is paid after Stripe's list was read. The second look at Stripe agrees."""
    session_id = shop.start("chk_1")
    listed = stripe_records.StripeRecords.sessions

    def sessions(records: Any, since: datetime) -> Iterator[dict[str, Any]]:
        found = list(listed(records, since))
        shop.fake.pay(session_id)
        shop.deliver_webhooks()
        return iter(found)

    monkeypatch.setattr(stripe_records.StripeRecords, "sessions", sessions)
    assert run().exit_code == 0
    assert shop.status("chk_1") == "paid"


def test_event_that_did_not_repair_is_not_sent_again(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    run("--repair")
    shop.run_workers()
    shop.change(Payment, paid_at=None)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"evt_recovered_{session_id}_completed_paid was sent before and did not repair it" in result.stdout


def test_recovered_cart_is_two_sessions_of_one_order(shop: Shop, run: Reconcile) -> None:
    from demo.fake_stripe.sessions import recover

    expired = shop.start("chk_1")
    shop.fake.expire(expired)
    account = shop.fake.account
    with account.store.lock:
        again = recover(account, account.store.get("checkout.session", expired))["id"]
    shop.fake.pay(again)
    assert kinds(run("--json")) == ["not-paid", "not-expired"]
    run("--repair")
    shop.run_workers()
    assert (shop.status("chk_1"), shop.order("chk_1").session_id) == ("paid", again)
    shop.confirm_stock("chk_1")
    assert run().exit_code == 0


def test_payment_that_waits_for_its_stock_is_sent_again(shop: Shop, run: Reconcile) -> None:
    """Inventory did not get the payment's event, so it never publishes that it took the stock."""
    session_id = shop.buy("chk_1")
    [completed] = shop.fake.events("checkout.session.completed")
    late = {"received_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}
    event = as_bus_event(completed)
    deliver(shop.database, handlers, replace(event, headers={**event.headers, **late}))
    shop.deliver_webhooks("charge.succeeded")
    assert (shop.status("chk_1"), shop.order("chk_1").paid_published_at) == ("paid", None)
    assert kinds(run("--json")) == ["stock-unknown"]
    assert f"evt_recovered_{session_id}_completed_paid_stock" in run("--repair").stdout
    shop.run_workers()
    shop.confirm_stock("chk_1")
    assert (shop.order("chk_1").paid_published_at is not None, run().exit_code) == (True, 0)


def refund(shop: Shop, session_id: str, amount: int) -> str:
    """Refund as in Stripe's dashboard, and return the refund's id."""
    intent = shop.fake.session(session_id)["payment_intent"]
    return shop.client.v1.refunds.create({"payment_intent": intent, "amount": amount}).id


def test_lost_refund_is_printed_and_repaired(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    refund_id = refund(shop, session_id, 1998)
    result = run()
    assert result.exit_code == 1
    assert f"Stripe refunded 1998 eur (19.98 EUR) with {refund_id} (succeeded), which is not booked" in result.stdout
    assert f"evt_recovered_{refund_id}_succeeded" in run("--repair").stdout
    shop.run_workers()
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (1998, 0)
    shop.deliver_webhooks()  # the lost one arrives late
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (1998, 0)


def test_lost_failure_of_a_refund_is_repaired(shop: Shop, run: Reconcile) -> None:
    from demo.fake_stripe.refunds import fail

    refund_id = refund(shop, shop.buy("chk_1"), PRICE)
    shop.deliver_webhooks()
    account = shop.fake.account
    with account.store.lock:
        fail(account, account.store.get("refund", refund_id), "lost_or_stolen_card")
    assert kinds(run("--json")) == ["refund-status"]
    run("--repair")
    shop.run_workers()
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (0, 0)


def test_changed_refunds_are_only_printed(shop: Shop, run: Reconcile) -> None:
    refund_id = refund(shop, shop.buy("chk_1"), PRICE)
    shop.deliver_webhooks()
    shop.change(Refund, amount=PRICE - 1)
    assert kinds(run("--repair", "--json")) == ["refund-differs"]
    shop.fake.account.store.remove("refund", refund_id)
    assert kinds(run("--repair", "--json")) == ["refund-not-at-stripe"]


def test_all_pages_of_sessions_are_compared(shop: Shop, run: Reconcile) -> None:
    for number in range(105):
        shop.start(f"chk_{number}", starts_order=number == 0)
    assert kinds(run("--json")) == ["no-order"] * 104


def test_failing_stripe_ends_the_run_with_an_error(shop: Shop, run: Reconcile) -> None:
    shop.fake.add_fault("api_500", path="/v1/checkout/sessions", count=9)
    result = run()
    assert result.exit_code == 1
    assert "before everything was compared" in result.stderr


@pytest.mark.parametrize("age", ["", "h", "-1h", "24", "1w", "99999999999d"])
def test_invalid_since_is_refused(run: Reconcile, age: str) -> None:
    assert run("--since", age).exit_code == 2


def test_lost_dispute_events_are_printed_and_repaired(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    shop.fake.open_dispute(session_id)
    assert kinds(run("--json")) == ["dispute-missing"]
    run("--repair")
    shop.run_workers()
    assert (shop.order("chk_1").dispute_status, run().exit_code) == ("open", 0)
    shop.fake.advance_dispute(session_id, "lost", reinstated=500)
    assert kinds(run("--json")) == ["dispute-status", "dispute-funds"]
    run("--repair")
    shop.run_workers()
    assert (shop.order("chk_1").dispute_status, run().exit_code) == ("lost", 0)
    shop.fake.advance_dispute(session_id, "appeal_needs_response")
    assert "dispute-status" in kinds(run("--json"))
    run("--repair")
    shop.run_workers()
    assert (shop.order("chk_1").dispute_status, run().exit_code) == ("open", 0)


def test_missing_address_is_printed_and_filled(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    assert run().exit_code == 0
    address = {"line1": "Alte Allee 1", "city": "Berlin", "postal_code": "10115", "country": "DE"}
    shop.fake.session(session_id)["collected_information"] = {"shipping_details": {"name": "Z", "address": address}}
    assert kinds(run("--json")) == ["address-missing"]
    run("--repair")
    shop.run_workers()
    assert (shop.order("chk_1").shipping_address, run().exit_code) == (address, 0)


def test_accepted_mismatch_is_no_difference(shop: Shop, run: Reconcile) -> None:
    session_id = shop.start("chk_1")
    shop.change(Order, amount_total=1998)
    shop.fake.pay(session_id)
    shop.deliver_webhooks()
    with shop.database.begin() as session:
        order = session.scalars(select(Order)).one()
        resolve(session, order, ReviewDecision.ACCEPT, "ana")
    assert not shop.order("chk_1").needs_review
    assert run().exit_code == 0


@pytest.mark.parametrize("status", ["", "in_transit"])
def test_refund_with_an_unknown_status_does_not_end_the_run(shop: Shop, run: Reconcile, status: str) -> None:
    from demo.fake_stripe.refunds import queue_first_status

    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    queue_first_status(shop.fake.account, status)
    refund(shop, session_id, 1000)
    assert kinds(run("--json")) == ["refund-missing"]
    run("--repair")
    shop.run_workers()
    assert run().exit_code == 0
    shop.deliver_webhooks()
    assert run().exit_code == 0
