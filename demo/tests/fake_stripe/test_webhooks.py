import json
import time

import pytest
import stripe

from demo.fake_stripe.server import FakeStripe

from .conftest import SECRET, CreateSession, Receiver


def test_webhooks_are_signed_over_their_bytes(
    fake: FakeStripe, create_session: CreateSession, receiver: Receiver
) -> None:
    fake.pay(create_session().id)
    webhook = receiver.wait_for("checkout.session.completed")[0]
    body = webhook.body.decode()
    assert stripe.WebhookSignature.verify_header(body, webhook.signature, SECRET, tolerance=300)
    assert [part.partition("=")[0] for part in webhook.signature.split(",")] == ["t", "v1", "v0"]
    assert body == json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    keys = list(webhook.event["data"]["object"])
    assert keys == ["id", "object", *sorted(keys[2:])]
    assert "Zoë" in body


def test_signatures_have_the_machines_time(fake: FakeStripe, create_session: CreateSession, receiver: Receiver) -> None:
    session = create_session()
    fake.advance(7200)
    fake.pay(session.id)
    webhook = receiver.wait_for("checkout.session.completed")[0]
    assert stripe.WebhookSignature.verify_header(webhook.body.decode(), webhook.signature, SECRET, tolerance=300)
    assert webhook.event["created"] >= int(time.time()) + 7100


def test_refused_delivery_is_retried_until_success(
    client: stripe.StripeClient, fake: FakeStripe, receiver: Receiver
) -> None:
    receiver.statuses[:] = [500, 400, 302]
    client.v1.products.create({"name": "Scarf"})
    webhooks = receiver.wait_for("product.created", 4)
    assert len({webhook.body for webhook in webhooks}) == 1
    assert fake.wait_delivered()
    (event,) = fake.ledger["events"]
    attempts = event["deliveries"][0]["attempts"]
    assert [attempt["status"] for attempt in attempts] == [500, 400, 302, 200]
    assert event["pending_webhooks"] == 0


def test_delivery_to_a_closed_port_is_retried(client: stripe.StripeClient, fake: FakeStripe) -> None:
    fake.add_webhook("http://127.0.0.1:9/closed", SECRET)
    client.v1.products.create({"name": "Scarf"})

    def is_retried() -> bool:
        first, second = fake.ledger["events"][0]["deliveries"]
        return first["delivered"] and len(second["attempts"]) >= 2

    assert fake.wait_for(is_retried)
    second = fake.ledger["events"][0]["deliveries"][1]
    assert not second["delivered"]
    assert "error" in second["attempts"][0]


def test_events_are_paged_and_filtered(
    client: stripe.StripeClient, fake: FakeStripe, create_session: CreateSession
) -> None:
    started = int(time.time())
    fake.pay(create_session().id)
    assert fake.wait_event("charge.updated")
    assert fake.wait_delivered()
    pages = client.v1.events.list({"limit": 2, "created": {"gte": started}})
    assert pages.has_more
    types = [event.type for event in pages.auto_paging_iter()]
    assert types == [event["type"] for event in reversed(fake.events())]
    picked = client.v1.events.list({"types": ["charge.updated", "checkout.session.*"]})
    assert [event.type for event in picked.data] == ["charge.updated", "checkout.session.completed"]
    assert client.v1.events.list({"created": {"lt": started - 1}}).data == []
    assert len(client.v1.events.list({"delivery_success": True}).data) == 5
    assert client.v1.events.list({"delivery_success": False}).data == []
    one = client.v1.events.retrieve(picked.data[0].id)
    assert (one.type, one.pending_webhooks) == ("charge.updated", 0)


def test_list_of_more_than_twenty_types_is_refused(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.events.list({"types": [f"type.{number}" for number in range(21)]})
