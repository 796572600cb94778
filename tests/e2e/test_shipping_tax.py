"""Automatic tax on goods and shipping, and what a refund by lines gives back: the goods with their tax, no more."""

from collections.abc import Iterator
from typing import Any

import pytest
from checkout import catalog
from events.testing.fixtures import MakeDatabase
from inventory import ledger

from tests.e2e.in_process import OPERATOR, Shop

GOODS, SHIPPING = 1000, 500  # in cents, without the 19 % that the fake Stripe adds in Germany


@pytest.fixture
def shop(sqlite_database: MakeDatabase) -> Iterator[Shop]:
    """Return a shop with automatic tax, which is added to the prices of goods and shipping."""
    made = Shop(sqlite_database, automatic_tax=True)
    added = {"tax_behavior": "exclusive"}
    tee = {"sku": "TEE", "group": "G", "name": "Tee", "prices": {"eur": GOODS}, **added}
    parcel = {"id": "parcel", "name": "Parcel", "amounts": {"eur": SHIPPING}, "min_days": 1, "max_days": 3, **added}
    catalog.seed(made.databases["checkout"], {"products": [tee], "shipping_options": [parcel]})
    ledger.seed(made.databases["inventory"], {"products": [{"sku": "TEE", "stock": 1}]})
    yield made
    made.inventory.close()


def test_refund_by_lines_leaves_shipping_and_its_tax(shop: Shop) -> None:
    started = shop.start(shipping_option="parcel")
    shop.at_stripe("pay", started, method="card", typed={"country": "DE"})
    shop.deliver_events()
    web: Any = shop.operators()
    charged = web.get(f"/orders/by-session/{started.session_id}").json
    assert (charged["amount_total"], charged["amount_tax"], charged["tax_included"]) == (1785, 285, False)
    (order,) = web.get("/orders", headers=OPERATOR).json["items"]
    assert (order["amount_paid"], order["needs_review"]) == (1785, False)
    path, key = f"/orders/{order['id']}/refunds", {**OPERATOR, "Idempotency-Key": "the-tee"}
    body = {"lines": [{"sku": "TEE", "quantity": 1}]}
    answer = web.post(path, json=body, headers=key)
    assert (answer.status_code, answer.json["amount"], answer.json["status"]) == (201, 1190, "succeeded")
    shop.deliver_events()
    assert [refund["amount"] for refund in shop.account.store.all("refund")] == [1190]
    after = web.get(f"/orders/{order['id']}", headers=OPERATOR).json
    assert (after["amount_refunded"], after["refund_status"]) == (1190, "partial")
    assert "zoe requested a refund of 11.90 EUR for 1 x TEE." in shop.timeline()
