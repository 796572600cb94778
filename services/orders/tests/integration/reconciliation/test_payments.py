"""Payments and sessions that no webhook reported are found, and repaired through the handlers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from events.messaging import outbox
from events.testing.bus import deliver, outbox_events
from events.testing.stripe import as_bus_event
from orders.handlers import handlers
from orders.models.payments import Payment

from services.orders.tests.integration.reconciliation.shop import Reconcile, Shop, kinds


def test_equal_orders_have_no_differences(shop: Shop, run: Reconcile) -> None:
    shop.buy("chk_1")
    shop.start("chk_2")
    shop.deliver_webhooks()
    result = run()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Sessions since ")
    assert "Z: 2; differences: 0" in result.stdout


def test_lost_payment_is_printed_and_repaired(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    result = run()
    assert result.exit_code == 1
    expected = (
        f"{shop.order('chk_1').number} chk_1: {session_id} is paid at Stripe with 1999 eur (19.99 EUR),"
        " but not booked as paid. The order is open."
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


def test_event_that_did_not_repair_is_not_sent_again(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    run("--repair")
    shop.run_workers()
    shop.change(Payment, paid_at=None)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"evt_recovered_{session_id}_completed_paid was sent before and has not repaired this" in result.stdout


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
