"""One mail per occasion, however often and in whatever order the events come."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

EVENTS = {
    "orders.order.paid": "order_confirmed",
    "orders.payment.pending": "payment_pending",
    "orders.payment.failed": "payment_failed",
    "orders.order.expired": "abandoned_cart",
    "orders.review.opened": "staff_review",
    "orders.review.resolved": "staff_review_settled",
    "orders.order.shipped": "order_shipped",
    "orders.refund.succeeded": "refund_succeeded",
    "orders.refund.failed": "staff_refund_failed",
    "orders.dispute.opened": "staff_dispute_opened",
    "orders.dispute.updated": "staff_dispute_updated",
    "orders.dispute.closed": "staff_dispute_closed",
}


@pytest.mark.parametrize(("event_type", "kind"), EVENTS.items())
def test_event_leads_to_its_mail_once(small_world, event_type, kind):
    event = small_world.event(event_type)
    assert small_world.deliver(event, event) == ["done", "duplicate"]
    assert small_world.tell(event_type) == "done"  # the same occasion, described by a second event
    (email,) = small_world.emails()
    assert (email.kind, email.status) == (kind, "pending")
    assert email.recipient == (None if kind.startswith("staff_") else "ada@example.org")


def test_payments_of_two_sessions_are_two_occasions(small_world):
    for session in ("cs_1", "cs_2"):
        small_world.tell("orders.payment.failed", session_id=session)
    assert [email.subject_key for email in small_world.emails()] == ["cs_1", "cs_2"]


def test_two_reasons_are_two_reviews(small_world):
    for reason in ("oversold", "amount-mismatch", "oversold"):
        small_world.tell("orders.review.opened", reason=reason)
    assert len(small_world.emails()) == 2


@pytest.mark.parametrize("event_type", ["orders.order.paid", "orders.payment.pending", "orders.order.expired"])
def test_order_without_an_address_is_ignored_with_the_reason(small_world, event_type):
    assert small_world.tell(event_type, customer_email=None) == "ignored"
    assert small_world.emails() == []


def test_staff_are_told_of_an_order_without_an_address(small_world):
    assert small_world.tell("orders.review.opened", customer_email=None) == "done"


def test_reminder_waits_for_its_delay(small_world):
    small_world.tell("orders.order.expired")
    (email,) = small_world.emails()
    assert email.next_attempt_at - email.created_at == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))
    assert small_world.sender.run() == 0
    small_world.clock.advance(hours=1)
    assert small_world.sender.run() == 1


PAID_LATE = ("orders.payment.pending", "orders.order.expired", "orders.payment.failed", "orders.order.paid")
CANCELED = ("orders.order.expired", "orders.order.canceled", "orders.order.canceled")
PAID_THOUGH_CANCELED = ("orders.order.expired", "orders.order.canceled", "orders.order.paid")


@pytest.mark.parametrize(
    ("events", "states"),
    [
        (
            PAID_LATE,
            {
                "order_confirmed": "pending",
                "payment_pending": "suppressed",
                "payment_failed": "suppressed",
                "abandoned_cart": "suppressed",
            },
        ),
        (CANCELED, {"abandoned_cart": "suppressed"}),
        (PAID_THOUGH_CANCELED, {"order_confirmed": "pending", "abandoned_cart": "suppressed"}),
    ],
)
def test_every_order_of_events_ends_in_the_same_state(small_world, events, states):
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        delivered = [small_world.event(event_type, **ids) for event_type in permutation]
        small_world.deliver(*delivered, *delivered)
        made = [email for email in small_world.emails() if email.checkout_id == ids["checkout_id"]]
        assert {email.kind: email.status for email in made} == states, permutation


def test_suppressed_mail_says_why_and_is_never_sent(small_world):
    small_world.tell("orders.order.expired")
    small_world.tell("orders.order.canceled")
    small_world.clock.advance(days=30)
    assert small_world.sender.run() == 0
    assert [email.error for email in small_world.emails()] == ["the order is canceled"]


def test_cancel_does_not_keep_back_what_the_customer_must_know(small_world):
    small_world.tell("orders.order.canceled")
    small_world.tell("orders.payment.failed")
    assert small_world.states() == {"payment_failed": "pending"}


def test_mail_that_was_put_off_is_overtaken_too(world):
    world.server.answers["ada@example.org"] = "451 greylisted"
    world.tell("orders.payment.pending")
    claimed = world.sender._claim()
    world.tell("orders.order.paid")
    world.sender._put_off(claimed[0], "451 greylisted")
    assert world.states() == {"payment_pending": "suppressed", "order_confirmed": "pending"}


def test_events_at_the_same_time_leave_no_reminder(world):
    numbers = range(8)
    pairs = [
        world.event(event_type, checkout_id=f"chk_{number}", order_id=f"ord_{number}")
        for number in numbers
        for event_type in ("orders.order.expired", "orders.order.paid")
    ]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(world.deliver, pairs))
    assert outcomes == [["done"]] * len(pairs)
    states = [(email.kind, email.status) for email in world.emails()]
    assert sorted(states) == [("abandoned_cart", "suppressed")] * 8 + [("order_confirmed", "pending")] * 8
