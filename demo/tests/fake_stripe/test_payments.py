import pytest
import stripe
from events.testing import http

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession, Receiver

PAID_IN_ORDER = [
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
    "charge.updated",
]


def test_card_payment_succeeds_with_its_events_in_order(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session(customer_email="anna@example.com")
    redirect = fake.pay(session.id)
    assert redirect == f"https://shop.test/thanks?session_id={session.id}"
    assert fake.wait_event("charge.updated")
    assert [event["type"] for event in fake.events()] == PAID_IN_ORDER
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.customer_details is not None
    assert paid.customer_details.email == "anna@example.com"
    intent = paid.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert intent.metadata["from"] == "intent"
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.metadata["from"] == "intent"
    assert intent.latest_charge.balance_transaction is not None
    charges = client.v1.charges.list({"payment_intent": intent.id})
    assert [charge.id for charge in charges.data] == [intent.latest_charge.id]


def test_declined_payment_can_be_tried_again(fake: FakeStripe, create_session: CreateSession) -> None:
    session = create_session()
    with pytest.raises(StripeError, match="declined"):
        fake.pay(session.id, "decline")
    (failed,) = fake.events("payment_intent.payment_failed")
    assert failed["data"]["object"]["last_payment_error"]["decline_code"] == "generic_decline"
    assert fake.session(session.id)["status"] == "open"
    fake.pay(session.id)
    (succeeded,) = fake.events("payment_intent.succeeded")
    assert succeeded["data"]["object"]["id"] == failed["data"]["object"]["id"]


@pytest.mark.parametrize(("method", "payment_status"), [("sepa_success", "paid"), ("sepa_fail", "unpaid")])
def test_debit_succeeds_or_fails_later(
    fake: FakeStripe, create_session: CreateSession, method: str, payment_status: str
) -> None:
    session = create_session()
    fake.pay(session.id, method)
    (completed,) = fake.events("checkout.session.completed")
    assert completed["data"]["object"]["payment_status"] == "unpaid"
    assert fake.events("payment_intent.processing")
    assert fake.settle(session.id)
    assert not fake.settle(session.id)
    ending = "succeeded" if method == "sepa_success" else "failed"
    assert fake.events(f"checkout.session.async_payment_{ending}")
    assert fake.events("payment_intent.*")[-1]["type"].endswith(ending)
    assert fake.session(session.id)["payment_status"] == payment_status
    assert fake.session(session.id)["status"] == "complete"


def test_debit_settles_after_its_delay(fake: FakeStripe, create_session: CreateSession) -> None:
    fake.pay(create_session().id, "sepa_success")
    fake.advance(3600)
    assert fake.wait_event("checkout.session.async_payment_succeeded")


def test_free_order_needs_no_payment(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    coupon = client.v1.coupons.create({"percent_off": 100, "duration": "once"})
    session = create_session(discounts=[{"coupon": coupon.id}], shipping_options=None)
    fake.pay(session.id)
    (completed,) = fake.events("checkout.session.completed")
    assert completed["data"]["object"]["payment_status"] == "no_payment_required"
    assert completed["data"]["object"]["payment_intent"] is None
    assert client.v1.coupons.retrieve(coupon.id).times_redeemed == 1


def test_refunds_add_up_and_never_exceed_the_charge(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id)
    intent = fake.session(session.id)["payment_intent"]
    part = client.v1.refunds.create(
        {"payment_intent": intent, "amount": 1999, "metadata": {"refund_id": "r1"}}, {"idempotency_key": "r1"}
    )
    assert (part.status, part.amount, part.metadata and part.metadata["refund_id"]) == ("succeeded", 1999, "r1")
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"payment_intent": intent, "amount": 3740})
    rest = client.v1.refunds.create({"payment_intent": intent})
    assert rest.amount == 3739
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent, "amount": 1})
    assert raised.value.code == "charge_already_refunded"
    refunded = [event["data"]["object"] for event in fake.events("charge.refunded")]
    assert [(charge["amount_refunded"], charge["refunded"]) for charge in refunded] == [(1999, False), (5738, True)]
    assert fake.events("refund.created")[0]["request"]["idempotency_key"] == "r1"
    assert fake.wait_event("charge.refund.updated", 2)
    listed = client.v1.refunds.list({"payment_intent": intent})
    assert [refund.id for refund in listed.data] == [rest.id, part.id]


def test_disputed_charge_is_not_refunded(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    session = create_session()
    fake.pay(session.id, "dispute")
    assert fake.wait_event("charge.dispute.created")
    (dispute,) = client.v1.disputes.list().data
    assert (dispute.amount, dispute.status, dict(dispute.metadata.to_dict())) == (5738, "needs_response", {})
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"charge": str(dispute.charge)})
    assert raised.value.code == "charge_disputed"
    assert client.v1.disputes.close(dispute.id).status == "lost"
    assert fake.events("charge.dispute.closed")


def test_expired_session_is_recovered(fake: FakeStripe, create_session: CreateSession, receiver: Receiver) -> None:
    session = create_session(after_expiration={"recovery": {"enabled": True}})
    url = fake.expire(session.id)["after_expiration"]["recovery"]["url"]
    recovered = http.get(url, follow_redirects=False).headers["Location"].rsplit("/", 1)[-1]
    assert recovered != session.id
    fake.pay(recovered)
    event = receiver.wait_for("checkout.session.completed")[0].event
    assert event["data"]["object"]["recovered_from"] == session.id
    assert event["data"]["object"]["metadata"] == {"checkout_id": "chk_1"}
