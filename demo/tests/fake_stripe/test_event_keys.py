"""The keys of every event are exactly Stripe's. event_keys.json has their trees; null means any value."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from demo.fake_stripe import refunds
from demo.fake_stripe.account import Cause
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession, Receiver

KEY_TREES: dict[str, Any] = json.loads((Path(__file__).parent / "event_keys.json").read_text())


def differences(value: Any, shape: Any, path: str = "event") -> list[str]:
    if value is None or shape is None:
        return []
    if isinstance(shape, list):
        return [line for item in value for line in differences(item, shape[0], f"{path}[]")]
    wrong = [f"{path}.{key}" for key in value.keys() ^ shape.keys()]
    shared = value.keys() & shape.keys()
    return wrong + [line for key in shared for line in differences(value[key], shape[key], f"{path}.{key}")]


def decline_then_pay(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    session = create_session()
    with pytest.raises(StripeError):
        fake.pay(session.id, "decline")
    fake.pay(session.id)


def refund_part(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    session = create_session()
    fake.pay(session.id)
    client.v1.refunds.create({"payment_intent": fake.session(session.id)["payment_intent"], "amount": 100})


def fail_refund(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    session = create_session()
    fake.pay(session.id)
    charge = fake.events("charge.succeeded")[0]["data"]["object"]["id"]
    with fake.account.store.lock:  # until then the bank's reference cannot arrive
        refund = refunds.create_refund(fake.account, {"charge": charge}, Cause())
        refunds.fail(fake.account, refund, "expired_or_canceled_card")


def dispute_and_lose(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    fake.pay(create_session().id, "dispute")
    assert fake.wait_event("charge.dispute.created")
    client.v1.disputes.close(client.v1.disputes.list().data[0].id)


def debit(outcome: str) -> Callable[[FakeStripe, stripe.StripeClient, CreateSession], None]:
    def pay_and_settle(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
        session = create_session(payment_method_types=["sepa_debit"])
        fake.pay(session.id, outcome)
        fake.settle(session.id)

    return pay_and_settle


def abandon(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    fake.expire(create_session(after_expiration={"recovery": {"enabled": True}}).id)


def yen(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    price = {"currency": "jpy", "unit_amount": 2990, "product_data": {"name": "Tシャツ"}}
    fixed = {"amount": 500, "currency": "jpy"}
    rate = {"display_name": "宅配便", "type": "fixed_amount", "fixed_amount": fixed}
    session = create_session(
        line_items=[{"price_data": price, "quantity": 2}],
        shipping_options=[{"shipping_rate_data": rate}],
        shipping_address_collection={"allowed_countries": ["JP"]},
    )
    fake.pay(session.id)


def change_catalog(fake: FakeStripe, client: stripe.StripeClient, create_session: CreateSession) -> None:
    product = client.v1.products.create({"name": "T-shirt"})
    client.v1.products.update(product.id, {"name": "T-shirt, gray", "metadata": {"sku": "TS"}})
    price = client.v1.prices.create({"product": product.id, "currency": "eur", "unit_amount": 1999, "lookup_key": "ts"})
    client.v1.prices.update(price.id, {"active": False, "lookup_key": ""})


@pytest.mark.parametrize(
    ("act", "shapes"),
    [
        (
            decline_then_pay,
            {
                "payment_intent.payment_failed": "payment_intent.payment_failed",
                "payment_intent.created": "payment_intent.succeeded",
                "charge.failed": "charge.succeeded",
                "charge.succeeded": "charge.succeeded",
                "payment_intent.succeeded": "payment_intent.succeeded",
                "checkout.session.completed": "checkout.session.completed",
                "charge.updated": "charge.updated",
            },
        ),
        (
            refund_part,
            {
                "refund.created": "refund.created",
                "charge.refunded": "charge.refunded",
                "refund.updated": "refund.updated",
                "charge.refund.updated": "charge.refund.updated",
            },
        ),
        (fail_refund, {"refund.failed": "refund.failed"}),
        (
            dispute_and_lose,
            {
                "charge.dispute.created": "charge.dispute.created",
                "charge.dispute.closed": "charge.dispute.closed",
            },
        ),
        (
            debit("sepa_success"),
            {
                "checkout.session.completed": "checkout.session.completed.unpaid",
                "checkout.session.async_payment_succeeded": "checkout.session.async_payment_succeeded",
            },
        ),
        (
            debit("sepa_fail"),
            {"checkout.session.async_payment_failed": "checkout.session.async_payment_failed"},
        ),
        (abandon, {"checkout.session.expired": "checkout.session.expired"}),
        (yen, {"checkout.session.completed": "checkout.session.completed.jpy"}),
        (change_catalog, {"product.updated": "product.updated", "price.updated": "price.updated"}),
    ],
)
def test_event_has_stripes_keys(
    fake: FakeStripe,
    client: stripe.StripeClient,
    create_session: CreateSession,
    receiver: Receiver,
    act: Callable[[FakeStripe, stripe.StripeClient, CreateSession], None],
    shapes: dict[str, str],
) -> None:
    act(fake, client, create_session)
    for type_, shape in shapes.items():
        event = receiver.wait_for(type_)[0].event
        assert event["api_version"] == "2026-10-28.endive"
        assert differences(event, KEY_TREES[shape]) == []
