from typing import Any

import pytest
from events.testing import http

from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession, Receiver

Post = Any


@pytest.fixture
def post(fake: FakeStripe) -> Post:
    def send(route: str, **body: Any) -> Any:
        return http.post(f"{fake.url}/_control/{route}", json=body)

    return send


def test_pay_and_settle_without_a_browser(fake: FakeStripe, create_session: CreateSession, post: Post) -> None:
    session = create_session()
    paid = post("pay", session_id=session.id, method="sepa_success", email="otto@example.com", settle="now")
    assert paid.json()["session"]["payment_status"] == "paid"
    assert paid.json()["session"]["customer_details"]["email"] == "otto@example.com"
    assert paid.json()["redirect"].endswith(session.id)
    assert post("settle", session_id=session.id).json()["settled"] is False
    declined = post("pay", session_id=create_session().id, method="decline")
    assert (declined.status_code, declined.json()["error"]["code"]) == (402, "card_declined")
    assert post("pay", session_id=session.id, method="shells").status_code == 400


def test_state_shows_objects_events_and_totals(fake: FakeStripe, create_session: CreateSession, post: Post) -> None:
    session = create_session()
    fake.pay(session.id)
    assert fake.wait_delivered()
    post("refund", session_id=session.id, amount=100).raise_for_status()
    state = http.get(f"{fake.url}/_control/state").json()
    assert [shown["id"] for shown in state["sessions"]] == [session.id]
    assert state["totals"]["eur"].items() >= {"charged": 5738, "refunded": 100, "disputed": 0}.items()
    completed = next(event for event in state["events"] if event["type"] == "checkout.session.completed")
    assert completed["object_id"] == session.id
    assert completed["deliveries"][0]["attempts"][0]["status"] == 200


def test_dashboard_refund_has_no_request_and_can_fail(
    fake: FakeStripe, create_session: CreateSession, post: Post
) -> None:
    session = create_session()
    fake.pay(session.id)
    refund = post("refund", session_id=session.id).json()
    assert fake.events("refund.created")[0]["request"] == {"id": None, "idempotency_key": None}
    failed = post("refund", refund_id=refund["id"], failure_reason="expired_or_canceled_card").json()
    assert failed["status"] == "failed"
    assert fake.ledger["charges"][0]["amount_refunded"] == 0


def test_dispute_is_opened_and_won(fake: FakeStripe, create_session: CreateSession, post: Post) -> None:
    session = create_session()
    fake.pay(session.id)
    assert post("dispute", session_id=session.id, reason="fraudulent").json()["reason"] == "fraudulent"
    won = post("dispute", session_id=session.id, status="won").json()
    assert won["status"] == "won"
    assert fake.events("charge.dispute.funds_reinstated")
    assert post("dispute", session_id=session.id, status="lost").status_code == 400


def test_next_refund_begins_with_the_queued_status(fake: FakeStripe, create_session: CreateSession, post: Post) -> None:
    session = create_session()
    fake.pay(session.id)
    assert post("next-refund", status="requires_action").json() == {"queued": ["requires_action"]}
    refund = post("refund", session_id=session.id).json()
    assert refund["status"] == "requires_action"
    assert post("refund", refund_id=refund["id"], status="succeeded").json()["status"] == "succeeded"


def test_sessions_expire_when_the_clock_moves(fake: FakeStripe, create_session: CreateSession, post: Post) -> None:
    first, second = create_session(), create_session()
    assert post("expire", session_id=first.id).json()["status"] == "expired"
    post("clock", advance=24 * 3600 + 1).raise_for_status()
    assert fake.wait_event("checkout.session.expired", 2)
    assert fake.session(second.id)["status"] == "expired"


def test_any_event_can_be_triggered(create_session: CreateSession, receiver: Receiver, post: Post) -> None:
    session = create_session()
    post(
        "trigger", type="checkout.session.completed", object_id=session.id, overrides={"amount_total": 1}
    ).raise_for_status()
    assert receiver.wait_for("checkout.session.completed")[0].event["data"]["object"]["amount_total"] == 1
    assert post("trigger", type="x", object_id="cs_none").status_code == 404


def test_endpoint_added_later_receives_events(
    fake: FakeStripe, receiver: Receiver, post: Post, create_session: CreateSession
) -> None:
    fake.account.webhooks.endpoints.clear()
    assert post("webhooks", url=receiver.url, secret="whsec_late").json() == {"webhooks": [receiver.url]}
    fake.pay(create_session().id)
    receiver.wait_for("checkout.session.completed")
    assert post("webhooks", url=receiver.url).status_code == 400
