"""Payment intents without a session, as other applications on the account create them."""

from typing import Any

import pytest
import stripe

from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession


def test_confirmed_intent_is_paid_and_refunded(client: stripe.StripeClient, fake: FakeStripe) -> None:
    intent = client.v1.payment_intents.create(
        {"amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 2000
    assert fake.events("checkout.*") == []


def test_manual_intent_is_confirmed_then_captured(client: stripe.StripeClient, fake: FakeStripe) -> None:
    card = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    intent = client.v1.payment_intents.create({"amount": 2000, "currency": "usd", "capture_method": "manual"})
    assert intent.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.payment_intents.capture(intent.id)
    assert raised.value.code == "payment_intent_unexpected_state"
    held = client.v1.payment_intents.confirm(intent.id, {"payment_method": card.id})
    assert (held.status, held.amount_capturable) == ("requires_capture", 2000)
    with pytest.raises(stripe.InvalidRequestError, match="no successful charge"):
        client.v1.refunds.create({"payment_intent": intent.id})
    assert client.v1.payment_intents.capture(intent.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded"):
        client.v1.payment_intents.cancel(intent.id)


def test_declined_intent_is_confirmed_again_then_canceled(client: stripe.StripeClient, fake: FakeStripe) -> None:
    intent = client.v1.payment_intents.create({"amount": 2000, "currency": "usd"})
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})
    waiting = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_authenticationRequired"})
    assert waiting.status == "requires_action"
    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")


def test_bank_transfer_in_parts_pays_the_intent(client: stripe.StripeClient, fake: FakeStripe) -> None:
    customer = client.v1.customers.create({"email": "anna@example.com"})
    transfer: Any = {"amount": 20_000, "currency": "jpy", "confirm": True, "customer": customer.id}
    intent = client.v1.payment_intents.create(transfer | {"payment_method_types": ["customer_balance"]})
    assert intent.status == "requires_action"
    fund = client.v1.test_helpers.customers.fund_cash_balance
    fund(customer.id, {"amount": 12_000, "currency": "jpy"})
    assert fake.events("payment_intent.partially_funded")
    fund(customer.id, {"amount": 9_000, "currency": "jpy"})
    assert client.v1.payment_intents.retrieve(intent.id).amount_received == 20_000
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.destination_details is not None
    assert refund.destination_details.type == "customer_cash_balance"


def test_session_page_is_confirmed_with_its_amount(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session(payment_method_types=["sepa_debit"])
    debit: Any = {"type": "sepa_debit", "sepa_debit": {"iban": "AT861904300235473202"}}
    method = client.v1.payment_methods.create(debit)
    path = f"/v1/payment_pages/{session.id}/confirm"
    with pytest.raises(stripe.InvalidRequestError, match="not the expected 1"):
        client.raw_request("post", path, payment_method=method.id, expected_amount=1)
    client.raw_request("post", path, payment_method=method.id, expected_amount=5738)
    assert fake.settle(session.id)
    assert fake.events("checkout.session.async_payment_failed")
