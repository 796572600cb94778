import pytest
import stripe
from events.testing import http

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import SECRET, CreateSession, Receiver

COMPLETED = "checkout.session.completed"


def verifies(body: bytes, signature: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body.decode(), signature, SECRET))
    except stripe.SignatureVerificationError:
        return False


def test_dropped_event_arrives_after_it_is_resent(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("drop", type=COMPLETED)
    fake.pay(create_session().id)
    receiver.wait_for("charge.updated")
    assert receiver.webhooks_of(COMPLETED) == []
    (lost,) = client.v1.events.list({"delivery_success": False, "type": COMPLETED}).data
    http.post(f"{fake.url}/_control/resend", json={"event_id": lost.id}).raise_for_status()
    assert receiver.wait_for(COMPLETED)[0].event["id"] == lost.id


def test_acknowledged_drop_counts_as_delivered(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("drop", type=COMPLETED, acknowledged=True)
    fake.pay(create_session().id)
    receiver.wait_for("charge.updated")
    assert receiver.webhooks_of(COMPLETED) == []
    assert len(client.v1.events.list({"delivery_success": True, "type": COMPLETED}).data) == 1


def test_event_with_the_fault_is_not_created(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    fake.add_fault("not_created", type=COMPLETED)
    session = create_session()
    fake.pay(session.id)
    assert client.v1.events.list({"type": COMPLETED}).data == []
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_duplicate_delivers_the_same_bytes_again(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("duplicate", type=COMPLETED, copies=2)
    fake.pay(create_session().id)
    assert len({webhook.body for webhook in receiver.wait_for(COMPLETED, 3)}) == 1


def test_second_event_describes_the_same_change(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("second_event", type=COMPLETED)
    fake.pay(create_session().id)
    first, second = (webhook.event for webhook in receiver.wait_for(COMPLETED, 2))
    assert first["id"] != second["id"]
    assert first["data"] == second["data"]


def test_delay_waits_for_the_fakes_clock(fake: FakeStripe, create_session: CreateSession, receiver: Receiver) -> None:
    fake.add_fault("delay", type=COMPLETED, seconds=600)
    fake.pay(create_session().id)
    receiver.wait_for("charge.updated")
    assert receiver.webhooks_of(COMPLETED) == []
    fake.advance(600)
    receiver.wait_for(COMPLETED)


def test_reorder_reverses_what_it_holds_back(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("reorder", count=4)
    fake.pay(create_session().id)
    receiver.wait_for("payment_intent.created")
    held = [w.event["type"] for w in receiver.received if w.event["type"] != "charge.updated"]
    assert held == [COMPLETED, "payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]


def test_reorder_releases_events_after_its_time(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.add_fault("reorder", count=100, type=COMPLETED, seconds=60)
    fake.pay(create_session().id)
    receiver.wait_for("charge.succeeded")
    assert receiver.webhooks_of(COMPLETED) == []
    fake.advance(60)
    receiver.wait_for(COMPLETED)


def test_corrupt_signature_does_not_verify(fake: FakeStripe, create_session: CreateSession, receiver: Receiver) -> None:
    fake.add_fault("corrupt_signature", type=COMPLETED)
    receiver.statuses[:] = []
    fake.pay(create_session().id)
    (webhook,) = receiver.wait_for(COMPLETED)
    assert not verifies(webhook.body, webhook.signature)


def test_nth_call_fails_without_effect(client: stripe.StripeClient, fake: FakeStripe) -> None:
    fake.add_fault("api_500", path="/v1/products", method="post", nth=2)
    client.v1.products.create({"name": "one"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.APIError):
        client.v1.products.create({"name": "two"}, {"idempotency_key": "two"})
    assert [product.name for product in client.v1.products.list().data] == ["one"]
    assert client.v1.products.create({"name": "two"}, {"idempotency_key": "two"}).name == "two"


def test_performed_call_with_api_500_replays_its_500(client: stripe.StripeClient, fake: FakeStripe) -> None:
    fake.add_fault("api_500", path="/v1/products", performed=True)
    for _attempt in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.products.create({"name": "one"}, {"idempotency_key": "one"})
    assert [product.name for product in client.v1.products.list().data] == ["one"]


def test_timed_out_call_has_run_and_is_replayed(fake: FakeStripe) -> None:
    fake.add_fault("api_timeout", path="/v1/products", seconds=30)
    http_client = stripe.RequestsClient(timeout=0.3)
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": fake.url}, http_client=http_client)
    with pytest.raises(stripe.APIConnectionError):
        client.v1.products.create({"name": "one"}, {"idempotency_key": "one"})
    product = client.v1.products.create({"name": "one"}, {"idempotency_key": "one"})
    assert [listed.id for listed in client.v1.products.list().data] == [product.id]
    http_client.close()


def test_unknown_fault_is_refused_and_faults_are_cleared(fake: FakeStripe) -> None:
    with pytest.raises(StripeError):
        fake.add_fault("earthquake")
    url = f"{fake.url}/_control/faults"
    assert http.post(url, json={"kind": "drop", "color": "red"}).status_code == 400
    queued = http.post(url, json=[{"kind": "drop", "count": 3}, {"kind": "api_500"}]).json()["queued"]
    assert [(fault["kind"], fault["count"]) for fault in queued] == [("drop", 3), ("api_500", 1)]
    assert http.delete(url).json()["queued"] == []
