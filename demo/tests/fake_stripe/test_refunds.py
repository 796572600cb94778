import pytest
import stripe

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession


@pytest.fixture
def paid(fake: FakeStripe, create_session: CreateSession) -> str:
    """The id of a session that is paid by card."""
    session = create_session()
    fake.pay(session.id)
    return str(session.id)


def statuses(fake: FakeStripe, type_: str) -> list[str]:
    return [event["data"]["object"]["status"] for event in fake.events(type_)]


def test_slow_refund_is_pending_then_succeeds(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id, "slow_refund")
    created = client.v1.refunds.create({"payment_intent": fake.session(session.id)["payment_intent"]})
    assert created.status == "pending"
    assert fake.wait_event("charge.refund.updated")
    (updated,) = fake.events("refund.updated")
    assert updated["data"]["object"]["status"] == "succeeded"
    assert updated["data"]["previous_attributes"]["status"] == "pending"


def test_refund_to_a_closed_card_succeeds_then_fails(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id, "failing_refund")
    intent = str(fake.session(session.id)["payment_intent"])
    assert client.v1.refunds.create({"payment_intent": intent}).status == "succeeded"
    assert fake.wait_event("charge.refund.updated")
    (failed,) = fake.events("refund.failed")
    assert failed["data"]["previous_attributes"]["status"] == "succeeded"
    assert fake.ledger["totals"]["eur"]["refunded"] == 0
    assert client.v1.refunds.create({"payment_intent": intent, "amount": 100}).amount == 100  # a new refund is possible


def test_debit_refund_has_no_charge_refund_event(fake: FakeStripe, create_session: CreateSession) -> None:
    session = create_session()
    fake.pay(session.id, "sepa_success")
    fake.settle(session.id)
    refund = fake.refund(session.id, amount=100)
    assert (refund["id"][:4], refund["status"]) == ("pyr_", "pending")
    fake.advance_refund(refund["id"], "succeeded")
    assert statuses(fake, "refund.updated") == ["succeeded"]
    assert fake.events("charge.refund.updated") == []


def test_refund_that_waits_for_the_customer_is_canceled(
    client: stripe.StripeClient, fake: FakeStripe, paid: str
) -> None:
    fake.queue_refund_status("requires_action")
    charge = fake.ledger["charges"][0]["id"]
    waiting = client.v1.refunds.create({"charge": charge, "amount": 300})
    assert waiting.status == "requires_action"
    assert waiting.next_action is not None
    assert waiting.next_action.type == "display_details"
    assert client.v1.refunds.create({"charge": charge, "amount": 100}).status == "succeeded"  # only the next one
    assert client.v1.refunds.cancel(waiting.id).status == "canceled"
    assert fake.ledger["charges"][0]["amount_refunded"] == 100
    with pytest.raises(stripe.InvalidRequestError, match="cannot become canceled"):
        client.v1.refunds.cancel(waiting.id)


def test_refund_that_waited_succeeds_then_fails_days_later(fake: FakeStripe, paid: str) -> None:
    fake.queue_refund_status("requires_action")
    refund = fake.refund(paid)
    fake.advance_refund(refund["id"], "pending")
    assert fake.wait_for(lambda: refund["status"] == "succeeded")
    fake.advance(3 * 24 * 3600)
    assert fake.advance_refund(refund["id"], "failed")["failure_reason"] == "unknown"
    assert "next_action" not in refund
    with pytest.raises(StripeError, match="cannot become succeeded"):
        fake.advance_refund(refund["id"], "succeeded")
    with pytest.raises(StripeError, match="cannot begin as failed"):
        fake.queue_refund_status("failed")


@pytest.mark.parametrize(("already", "message"), [(0, "charge amount (€57.38)"), (5000, "on charge (€7.38)")])
def test_refund_above_the_rest_is_refused_with_the_rest(
    client: stripe.StripeClient, fake: FakeStripe, paid: str, already: int, message: str
) -> None:
    if already:
        fake.refund(paid, amount=already)
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"charge": fake.ledger["charges"][0]["id"], "amount": 5739})
    assert message in str(raised.value)
    assert (raised.value.http_status, raised.value.param, raised.value.code) == (400, "amount", None)


def test_refunds_are_listed_by_payment_with_metadata(client: stripe.StripeClient, fake: FakeStripe, paid: str) -> None:
    intent = str(fake.session(paid)["payment_intent"])
    for number in ("rfi_1", "rfi_2"):
        client.v1.refunds.create(
            {"payment_intent": intent, "amount": 100, "metadata": {"refund_request": number}},
            {"idempotency_key": number},
        )
    again = client.v1.refunds.create(
        {"payment_intent": intent, "amount": 100, "metadata": {"refund_request": "rfi_1"}},
        {"idempotency_key": "rfi_1"},
    )
    listed = client.v1.refunds.list({"payment_intent": intent}).data
    assert [refund.metadata and refund.metadata["refund_request"] for refund in listed] == ["rfi_2", "rfi_1"]
    assert again.id == listed[1].id
    assert client.v1.refunds.list({"charge": str(listed[0].charge)}).data == listed
    assert client.v1.refunds.list({"payment_intent": "pi_other"}).data == []


def test_paid_voucher_is_refunded_to_a_bank_account(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id, "voucher")
    assert fake.settle(session.id)
    refund = client.v1.refunds.create({"payment_intent": str(fake.session(session.id)["payment_intent"])})
    assert refund.destination_details is not None
    assert refund.destination_details.type == "multibanco"
