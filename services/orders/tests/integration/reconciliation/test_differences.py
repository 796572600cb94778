"""Differences to the minor unit, which no event explains, are printed and never repaired."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.messaging.contracts.reviews import ReviewDecision
from events.testing.bus import outbox_events
from orders.models.base import Base
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.reviews import resolve
from sqlalchemy import select

from services.orders.tests.integration.reconciliation.shop import Reconcile, Shop, kinds


@pytest.mark.parametrize(
    ("model", "change", "texts"),
    [
        (Order, {"amount_total": 1998}, {"amount-mismatch": "The customer paid 19.99 EUR instead of 19.98 EUR."}),
        (Order, {"currency": "usd"}, {"currency-mismatch": "The customer paid in EUR instead of USD."}),
        (
            Payment,
            {"amount": 1998},
            {
                "payment-differs": "paid at Stripe with 1999 eur (19.99 EUR), but 1998 eur",
                "charge-differs": "Stripe received 1999 eur",
            },
        ),
        (Payment, {"currency": "usd"}, {"payment-differs": "but 1999 usd (", "charge-differs": "but 1999 usd ("}),
        (Payment, {"paid_at": None}, {"not-paid": "paid at Stripe", "not-paid-at-stripe": "none of its payments is"}),
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


def test_session_without_an_order_is_only_printed(shop: Shop, run: Reconcile) -> None:
    session_id = shop.buy("chk_1", starts_order=False)
    result = run("--repair")
    assert result.exit_code == 1
    assert f"no order chk_1: {session_id} is complete and paid at Stripe" in result.stdout
    assert outbox_events(shop.database) == []
