"""Refunds and disputes that no webhook reported are found and repaired."""

import pytest
from orders.models.refunds import Refund

from services.orders.tests.integration.reconciliation.shop import PRICE, Reconcile, Shop, kinds, refund


def test_lost_refund_is_printed_and_repaired(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1")
    shop.deliver_webhooks()
    refund_id = refund(shop, session_id, 1998)
    result = run()
    assert result.exit_code == 1
    assert f"{refund_id} of 1998 eur (19.98 EUR) is succeeded at Stripe, but not booked." in result.stdout
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
