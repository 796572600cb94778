"""Events of endpoints with older API versions; tests/e2e/test_stripe_shapes.py shows that the services read them."""

import pytest

from demo.fake_stripe.client import FakeStripeClient
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession

ADDRESS = {"shipping", "shipping_details", "collected_information"}


@pytest.mark.parametrize(
    ("version", "has_address", "has_shipping_cost"),
    [
        ("2020-08-27", {"shipping"}, False),
        ("2022-08-01", {"shipping_details"}, True),
        ("2025-02-24.acacia", {"shipping_details"}, True),
        ("2025-03-31.basil", {"collected_information"}, True),
    ],
)
def test_event_keeps_the_version_of_its_creation(
    fake: FakeStripe, create_session: CreateSession, version: str, has_address: set[str], has_shipping_cost: bool
) -> None:
    session = create_session()
    FakeStripeClient(fake.url).set_event_version(version)
    fake.pay(session.id)
    [event] = fake.events("checkout.session.completed")
    shown = event["data"]["object"]
    address = {"shipping_details": None, **(shown.get("collected_information") or {})}["shipping_details"]
    found = {name for name in ADDRESS - {"collected_information"} if shown.get(name)}
    assert found | ({"collected_information"} if address else set()) == has_address
    assert (event["api_version"], "shipping_cost" in shown) == (version, has_shipping_cost)
    assert fake.session(session.id)["collected_information"]["shipping_details"], "the API answers as before"


@pytest.mark.parametrize(("version", "lists_refunds"), [("2022-08-01", True), ("2022-11-15", False)])
def test_old_refund_has_no_event_until_it_fails(
    fake: FakeStripe, create_session: CreateSession, version: str, lists_refunds: bool
) -> None:
    session = create_session()
    fake.pay(session.id)
    fake.set_event_version(version)
    refund = fake.refund(session.id, amount=500)
    [event] = fake.events("charge.refunded")
    listed = event["data"]["object"].get("refunds", {}).get("data", [])
    assert [one["id"] for one in listed] == ([refund["id"]] if lists_refunds else [])
    fake.advance_refund(refund["id"], "failed")
    [failed] = fake.events("*refund.*")
    assert (failed["type"], failed["data"]["object"]["status"]) == ("charge.refund.updated", "failed")
