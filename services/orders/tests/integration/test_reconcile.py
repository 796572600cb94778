"""What no webhook told is found at Stripe, named to the minor unit, and mended through the same handlers."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from click.testing import CliRunner, Result
from events import stripe_api
from events.database.engine import Database
from events.messaging import outbox
from events.messaging.event import own_event
from events.testing import Bus, deliver, outbox_events
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event
from orders.__main__ import main
from orders.handlers import handlers
from orders.models.chains import CHAINS
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import Refund
from orders.reconciliation import stripe as stripe_records
from sqlalchemy import select, update

from demo.fake_stripe.server import FakeStripe

HOUR = 3600
PRICE = 1999
Reconciling = Callable[..., Result]


class Shop:
    """Sells at the fake Stripe, whose webhooks all get lost, and to the orders."""

    def __init__(self, fake: FakeStripe, client: stripe.StripeClient, database: Database) -> None:
        self.fake, self._client, self.database = fake, client, database

    def start(self, checkout_id: str, *, announced: bool = True, ours: bool = True) -> str:
        """A session, and its order if checkout's announcement comes; the session's id."""
        metadata = {"checkout_id": checkout_id} if ours else {}
        price: Any = {"currency": "eur", "unit_amount": PRICE, "product_data": {"name": "Tee"}}
        session = self._client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "success_url": "https://shop.test/thanks",
                "metadata": metadata,
                "payment_intent_data": {"metadata": metadata},
                "after_expiration": {"recovery": {"enabled": True}},
            }
        )
        if announced and ours:
            self._announce(checkout_id, session.id)
        return session.id

    def buy(self, checkout_id: str, method: str = "card", **how: bool) -> str:
        session_id = self.start(checkout_id, **how)
        self.fake.pay(session_id, method)
        return session_id

    def hear(self, pattern: str = "*") -> None:
        """The webhooks of these types come after all."""
        for event in self.fake.events(pattern):
            deliver(self.database, handlers, as_bus_event(event))

    def order(self, checkout_id: str) -> Order:
        with self.database.read() as session:
            return session.scalars(select(Order).where(Order.checkout_id == checkout_id)).one()

    def status(self, checkout_id: str) -> str:
        return self.order(checkout_id).status

    def settle(self) -> None:
        """The relay publishes, and the orders' worker handles."""
        Bus({"orders": (self.database, handlers)}).run_until_idle()

    def change(self, model: Any, **values: Any) -> None:
        with self.database.begin() as session:
            session.execute(update(model).values(**values))

    def _announce(self, checkout_id: str, session_id: str) -> None:
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
    """How far Stripe's clock is behind: what happens there now is no longer young."""
    return {"behind": HOUR}


@pytest.fixture
def shop(clock: dict[str, float], database: Database) -> Iterator[Shop]:
    fake = FakeStripe(followup_delay=HOUR, sepa_delay=HOUR, time_source=lambda: time.time() - clock["behind"])
    with fake, stripe_api.closing_client("sk_test_x", fake.url) as client:
        yield Shop(fake, client, database)


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Reconciling:
    monkeypatch.setattr(stripe_api, "RETRIES", 0)
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


def test_everything_fits(shop: Shop, run: Reconciling) -> None:
    shop.buy("chk_1")
    shop.start("chk_2")
    shop.hear()
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 sessions since")
    assert "differences: 0" in result.stdout


def test_a_lost_payment_is_named_and_healed(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    result = run()
    assert result.exit_code == 1
    expected = (
        f"{shop.order('chk_1').number} chk_1: {session_id} is paid at Stripe with 1999 eur, but the order is open."
    )
    assert expected in result.stdout.splitlines()
    assert outbox_events(shop.database) == []

    healing = run("--repair")
    assert healing.exit_code == 0
    assert f"repaired: evt_recovered_{session_id}_completed_paid" in healing.stdout
    [event] = outbox_events(shop.database)
    assert (event.id, event.routing_key) == (
        f"evt_recovered_{session_id}_completed_paid",
        "stripe.checkout.session.completed",
    )
    assert (event.source, event.correlation_id, event.object["id"]) == ("orders", "chk_1", session_id)

    shop.settle()
    order = shop.order("chk_1")
    assert (order.status, order.needs_review, order.customer_email) == ("paid", False, "zoe.mueller@example.com")
    assert run().exit_code == 0
    shop.hear()  # at last
    assert run().exit_code == 0
    assert [event.type for event in outbox_events(shop.database)].count("orders.order.paid") == 1


def test_healing_twice_promises_once(shop: Shop, run: Reconciling) -> None:
    shop.buy("chk_1")
    assert run("--repair").exit_code == run("--repair").exit_code == 0
    assert len(outbox_events(shop.database)) == 1


def test_an_event_that_stripe_never_made_is_healed(shop: Shop, run: Reconciling) -> None:
    shop.fake.add_fault("not_created", type="checkout.session.completed")
    shop.buy("chk_1")
    shop.hear()
    assert shop.status("chk_1") == "open"
    run("--repair")
    shop.settle()
    assert shop.status("chk_1") == "paid"
    assert run().exit_code == 0


@pytest.mark.parametrize(
    ("method", "settled", "heard", "kind", "fact", "status"),
    [
        ("sepa_success", False, "-", "not-completed", "completed", "payment_pending"),
        ("sepa_success", True, "-", "not-paid", "completed", "paid"),
        ("sepa_success", True, "*.completed", "not-paid", "async_payment_succeeded", "paid"),
        ("sepa_fail", True, "-", "not-async-payment-failed", "async_payment_failed", "payment_failed"),
        ("sepa_fail", True, "*.completed", "not-async-payment-failed", "async_payment_failed", "payment_failed"),
    ],
)
def test_delayed_methods(
    shop: Shop, run: Reconciling, method: str, settled: bool, heard: str, kind: str, fact: str, status: str
) -> None:
    session_id = shop.buy("chk_1", method)
    shop.hear(heard)
    if settled:
        shop.fake.settle(session_id)
    assert kinds(run("--json")) == [kind]
    [difference] = json.loads(run("--repair", "--json").stdout)["differences"]
    assert difference["repaired_by"].startswith(f"evt_recovered_{session_id}_{fact}_")
    shop.settle()
    assert shop.status("chk_1") == status
    assert run().exit_code == 0


def test_a_recovered_completion_takes_effect_unpaid_and_again_once_it_is_paid(shop: Shop, run: Reconciling) -> None:
    """No webhook comes at all, and checkout's sweep has found the unpaid session and the paid one too."""
    session_id = shop.buy("chk_1", "sepa_success")
    run("--repair")
    shop.settle()
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
    shop.settle()
    assert shop.status("chk_1") == "paid"
    recovered = [event.id for event in outbox_events(shop.database) if event.is_stripe]
    assert sorted(recovered) == [f"evt_recovered_{session_id}_completed_{status}" for status in ("paid", "unpaid")]


def test_a_lost_expiry_is_healed_with_its_recovery_link(shop: Shop, run: Reconciling) -> None:
    session_id = shop.start("chk_1")
    shop.fake.expire(session_id)
    assert kinds(run("--json")) == ["not-expired"]
    run("--repair")
    shop.settle()
    order = shop.order("chk_1")
    assert (order.status, order.recovery_url) == ("expired", f"{shop.fake.url}/r/{session_id}")
    assert run().exit_code == 0


def test_a_declined_card_is_no_difference(shop: Shop, run: Reconciling) -> None:
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
def test_what_was_tampered_with_is_named_to_the_minor_unit(
    shop: Shop, run: Reconciling, model: Any, change: dict[str, Any], texts: dict[str, str]
) -> None:
    shop.buy("chk_1")
    shop.hear()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.change(model, **change)
    result = run("--json")
    assert result.exit_code == 1
    found = {difference["kind"]: difference["text"] for difference in json.loads(result.stdout)["differences"]}
    assert found.keys() == texts.keys()
    for kind, text in texts.items():
        assert text in found[kind]


def test_what_cannot_be_healed_remains(shop: Shop, run: Reconciling) -> None:
    shop.buy("chk_1")
    shop.hear()
    shop.change(Payment, amount=1)
    assert run("--repair").exit_code == 1
    assert "repaired: 0" in run("--repair").stdout


def test_a_mismatch_that_a_person_has_been_told_of_is_none(shop: Shop, run: Reconciling) -> None:
    session_id = shop.start("chk_1")
    shop.change(Order, amount_total=1998)
    shop.fake.pay(session_id)
    shop.hear()
    assert shop.order("chk_1").review_reason == "amount-mismatch"
    assert run().exit_code == 0


def test_an_order_that_stripe_does_not_see_paid(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    shop.hear()
    shop.fake.session(session_id).update(payment_status="unpaid", status="open")
    result = run("--json")
    assert kinds(result) == ["not-paid-at-stripe"]
    assert f"The order is paid with {session_id}, which is open at Stripe" in result.stdout


def test_an_order_whose_session_stripe_does_not_know(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    shop.hear()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.fake.account.store.remove("checkout.session", session_id)
    assert set(kinds(run("--json"))) == {"no-session", "not-paid-at-stripe"}


def test_money_taken_in_a_session_that_is_not_paid(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    shop.fake.session(session_id).update(payment_status="unpaid", status="expired")
    result = run("--repair", "--json")
    assert (result.exit_code, kinds(result)) == (1, ["charged-unpaid"])
    assert outbox_events(shop.database) == []


def test_a_payment_whose_session_is_older_than_the_window(
    shop: Shop, run: Reconciling, clock: dict[str, float]
) -> None:
    clock["behind"] = 5 * HOUR
    session_id = shop.start("chk_1")
    clock["behind"] = HOUR
    shop.fake.pay(session_id)
    assert kinds(run("--since", "2h", "--json")) == ["not-paid"]


def test_a_paid_order_is_checked_however_old_its_session_is(
    shop: Shop, run: Reconciling, clock: dict[str, float]
) -> None:
    clock["behind"] = 5 * HOUR
    session_id = shop.buy("chk_1", "sepa_success")
    shop.hear()
    shop.fake.settle(session_id)
    shop.hear()
    shop.change(Order, paid_at=datetime.now(UTC) - timedelta(minutes=30))
    shop.change(Payment, amount=1998)
    assert kinds(run("--since", "1h", "--json")) == ["payment-differs", "charge-differs"]


def test_a_session_whose_start_was_never_announced_is_named_only(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1", announced=False)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"no order chk_1: {session_id} is complete and paid at Stripe" in result.stdout
    assert outbox_events(shop.database) == []


def test_sessions_of_others_are_none_of_ours(shop: Shop, run: Reconciling) -> None:
    shop.buy("", ours=False)
    result = run()
    assert result.exit_code == 0
    assert result.stdout.startswith("0 sessions since")


def test_what_has_just_happened_is_left_alone(shop: Shop, run: Reconciling, clock: dict[str, float]) -> None:
    session_id = shop.start("chk_1")
    clock["behind"] = 10
    shop.buy("chk_2")
    shop.fake.pay(session_id)
    assert run().exit_code == 0
    clock["behind"] = HOUR


def test_a_payment_during_the_comparison_is_no_difference(
    shop: Shop, run: Reconciling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order learns of it after Stripe's list was read: asked again, Stripe agrees."""
    session_id = shop.start("chk_1")
    listed = stripe_records.StripeRecords.sessions

    def sessions(records: Any, since: datetime) -> Iterator[dict[str, Any]]:
        found = list(listed(records, since))
        shop.fake.pay(session_id)
        shop.hear()
        return iter(found)

    monkeypatch.setattr(stripe_records.StripeRecords, "sessions", sessions)
    assert run().exit_code == 0
    assert shop.status("chk_1") == "paid"


def test_an_event_that_did_not_mend_it_is_not_sent_again(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    run("--repair")
    shop.settle()
    shop.change(Payment, paid_at=None)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"evt_recovered_{session_id}_completed_paid was sent before and did not repair it" in result.stdout


def test_a_cart_that_was_recovered_is_two_sessions_of_one_order(shop: Shop, run: Reconciling) -> None:
    from demo.fake_stripe.sessions import recover

    expired = shop.start("chk_1")
    shop.fake.expire(expired)
    account = shop.fake.account
    with account.store.lock:
        again = recover(account, account.store.get("checkout.session", expired))["id"]
    shop.fake.pay(again)
    assert kinds(run("--json")) == ["not-paid", "not-expired"]
    run("--repair")
    shop.settle()
    assert (shop.status("chk_1"), shop.order("chk_1").session_id) == ("paid", again)
    assert run().exit_code == 0


def refund(shop: Shop, session_id: str, amount: int) -> str:
    """As in Stripe's dashboard."""
    intent = shop.fake.session(session_id)["payment_intent"]
    return shop._client.v1.refunds.create({"payment_intent": intent, "amount": amount}).id


def test_a_lost_refund_is_named_to_the_minor_unit_and_healed(shop: Shop, run: Reconciling) -> None:
    session_id = shop.buy("chk_1")
    shop.hear()
    refund_id = refund(shop, session_id, 1998)
    result = run()
    assert result.exit_code == 1
    assert f"Stripe refunded 1998 eur (19.98 EUR) with {refund_id} (succeeded), which is not booked" in result.stdout
    assert f"evt_recovered_{refund_id}_succeeded" in run("--repair").stdout
    shop.settle()
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (1998, 0)
    shop.hear()  # at last
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (1998, 0)


def test_a_refund_that_failed_unheard_is_healed(shop: Shop, run: Reconciling) -> None:
    from demo.fake_stripe.refunds import fail

    refund_id = refund(shop, shop.buy("chk_1"), PRICE)
    shop.hear()
    account = shop.fake.account
    with account.store.lock:
        fail(account, account.store.get("refund", refund_id), "lost_or_stolen_card")
    assert kinds(run("--json")) == ["refund-status"]
    run("--repair")
    shop.settle()
    assert (shop.order("chk_1").amount_refunded, run().exit_code) == (0, 0)


def test_refunds_that_were_tampered_with_are_named_only(shop: Shop, run: Reconciling) -> None:
    refund_id = refund(shop, shop.buy("chk_1"), PRICE)
    shop.hear()
    shop.change(Refund, amount=PRICE - 1)
    assert kinds(run("--repair", "--json")) == ["refund-differs"]
    shop.fake.account.store.remove("refund", refund_id)
    assert kinds(run("--repair", "--json")) == ["refund-not-at-stripe"]


def test_more_sessions_than_one_page(shop: Shop, run: Reconciling) -> None:
    for number in range(105):
        shop.start(f"chk_{number}", announced=number == 0)
    assert kinds(run("--json")) == ["no-order"] * 104


def test_stripe_away_is_no_agreement(shop: Shop, run: Reconciling) -> None:
    shop.fake.add_fault("api_500", path="/v1/checkout/sessions", count=9)
    result = run()
    assert result.exit_code == 1
    assert "before everything was compared" in result.stderr


@pytest.mark.parametrize("age", ["", "h", "-1h", "24", "1w", "99999999999d"])
def test_an_age_that_means_nothing_is_refused(run: Reconciling, age: str) -> None:
    assert run("--since", age).exit_code == 2
