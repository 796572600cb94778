"""The scope of a run: since when, which sessions, and what happens meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from json import loads
from typing import Any

import pytest
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.reconciliation import stripe as stripe_records

from services.orders.tests.integration.reconciliation.shop import HOUR, Reconcile, Shop, kinds


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


def test_sessions_of_another_shop_are_not_compared(shop: Shop, run: Reconcile) -> None:
    shop.buy("", ours=False)
    result = run()
    assert result.exit_code == 0
    assert result.stdout.startswith("Sessions since ")
    assert "Z: 0; differences: 0" in result.stdout


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

    def sessions(records: Any, *window: Any) -> Iterator[dict[str, Any]]:
        found = list(listed(records, *window))
        shop.fake.pay(session_id)
        shop.deliver_webhooks()
        return iter(found)

    monkeypatch.setattr(stripe_records.StripeRecords, "sessions", sessions)
    assert run().exit_code == 0
    assert shop.status("chk_1") == "paid"


def test_all_pages_of_sessions_are_compared(shop: Shop, run: Reconcile) -> None:
    for number in range(105):
        shop.start(f"chk_{number}", starts_order=number == 0)
    assert kinds(run("--json")) == ["no-order"] * 104


def test_failing_stripe_ends_the_run_with_an_error(shop: Shop, run: Reconcile) -> None:
    shop.fake.add_fault("api_500", path="/v1/checkout/sessions", count=9)
    result = run()
    assert result.exit_code == 1
    assert "Not everything was compared. Run the command again." in result.stderr


@pytest.mark.parametrize("refusal", ["api_401", "api_403"])
def test_refused_key_is_logged_and_says_what_to_do(shop: Shop, run: Reconcile, refusal: str) -> None:
    shop.fake.add_fault(refusal, path="/v1/checkout/sessions")
    result = run()
    assert result.exit_code == 1
    assert "Set STRIPE_API_KEY to a valid key that has the needed rights." in result.stderr
    [logged] = [loads(line) for line in result.stderr.splitlines() if "stripe refused the API key" in line]
    assert (logged["level"], logged["action"], logged["http_status"]) == ("error", "reconcile", int(refusal[-3:]))


@pytest.mark.parametrize("age", ["", "h", "-1h", "24", "1w", "99999999999d"])
def test_invalid_since_is_refused(run: Reconcile, age: str) -> None:
    assert run("--since", age).exit_code == 2
