"""A forgotten customer gets no more mail, and no mail says any more who she was. Staff are told of her order on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.runner import Runner
from events.testing import deliver
from events.testing.columns import columns_with
from notifications.config import Config
from notifications.digest import Digest
from notifications.models import Email
from notifications.resending import Problem, resend

HER = ("zoe@example", "Zoë Müller", "JD0146000", "buy.stripe")
HERS = {"checkout_id": "chk_1", "customer_email": "zoe@example.org", "customer_name": "Zoë Müller"}
FORGOTTEN_AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
ALL = (
    "orders.order.paid", "orders.payment.pending", "orders.payment.failed", "orders.order.expired",
    "orders.order.shipped", "orders.refund.succeeded", "orders.review.opened", "orders.refund.failed",
    "orders.dispute.opened",
)  # fmt: skip


def forgotten(again: str = "") -> Event:
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": FORGOTTEN_AT}
    return own_event("orders.customer.erased", data, correlation_id="chk_1", event_id=f"evt_forgotten{again}")


def hers(world: Any, event_type: str, **changes: Any) -> Event:
    event: Event = world.event(event_type, **HERS, **changes)
    return event


def by_kind(world: Any) -> dict[str, Email]:
    return {email.kind: email for email in world.emails()}


def test_nothing_of_her_stays_and_what_was_sent_is_still_known(world: Any) -> None:
    world.deliver(*(hers(world, event_type) for event_type in ALL))
    world.sender.run()
    assert {"emails.recipient", "emails.context"} <= set(columns_with(world.database, *HER))
    before = {email.id: (email.kind, email.sent_at, email.message_id) for email in world.emails()}

    assert world.deliver(forgotten()) == ["done"]
    assert columns_with(world.database, *HER) == []
    assert {email.id: (email.kind, email.sent_at, email.message_id) for email in world.emails()} == before


def test_mail_that_is_pending_is_not_sent_any_more(world: Any) -> None:
    world.deliver(hers(world, "orders.order.paid"), forgotten())
    world.clock.advance(days=3)
    assert world.sender.run() == 0
    assert world.server.messages == []
    assert [(email.status, email.error) for email in world.emails()] == [("suppressed", "the customer is forgotten")]


@pytest.mark.parametrize("event_type", ALL[:6])
def test_fact_that_comes_after_writes_no_mail_to_her(small_world: Any, event_type: str) -> None:
    assert small_world.deliver(forgotten(), hers(small_world, event_type)) == ["done", "ignored"]
    assert small_world.emails() == []
    assert columns_with(small_world.database, *HER) == []


def test_staff_are_told_what_comes_after_without_her(world: Any) -> None:
    before, after = hers(world, "orders.review.opened"), hers(world, "orders.dispute.opened")
    assert world.deliver(before, forgotten(), after) == ["done"] * 3
    assert columns_with(world.database, *HER) == []
    assert world.sender.run() == 2
    assert set(world.server.recipients) == {"staff@shop.example"}
    assert not any(word in message.as_string() for message in world.server.messages for word in HER)


def test_forgetting_twice_changes_nothing_more(world: Any) -> None:
    world.deliver(hers(world, "orders.order.paid"), forgotten())
    [before] = world.emails()
    assert world.deliver(forgotten("again")) == ["done"]
    [after] = world.emails()
    assert (after.status, after.error, after.context) == (before.status, before.error, before.context)


def test_other_purchases_keep_theirs(world: Any) -> None:
    world.paid(2)
    world.deliver(hers(world, "orders.order.paid"), forgotten())
    assert {email.checkout_id: email.recipient for email in world.emails()} == {
        "chk_1": None, "chk_2": "c2@example.org"
    }  # fmt: skip
    assert world.sender.run() == 1


def test_mail_in_a_senders_hand_that_fails_is_not_tried_again_nor_sent_to_staff(world: Any) -> None:
    """Its recipient is gone by then, and a mail without one is the staff's."""
    world.deliver(hers(world, "orders.order.paid"))
    world.server.answers["zoe@example.org"] = "451 later"
    sender = world.sender
    hand_over = sender._hand_over

    def forget_meanwhile(email: Any, connection: Any) -> None:
        world.deliver(forgotten())
        hand_over(email, connection)

    sender._hand_over = forget_meanwhile
    sender.run()
    world.clock.advance(days=1)
    world.another_sender().run()
    assert world.server.messages == []
    assert [(email.status, email.recipient) for email in world.emails()] == [("suppressed", None)]
    assert columns_with(world.database, *HER) == []


def test_mail_that_a_dead_sender_had_in_hand_does_not_go_to_staff(small_world: Any) -> None:
    small_world.deliver(hers(small_world, "orders.order.paid"))
    small_world.sender._claim()
    small_world.deliver(forgotten())
    small_world.clock.advance(days=1)
    assert small_world.another_sender().run() == 0


def test_what_the_mail_server_said_of_her_is_erased(world: Any) -> None:
    world.server.answers["zoe@example.org"] = "550 5.1.1 <zoe@example.org> unknown"
    world.deliver(hers(world, "orders.order.paid"))
    world.sender.run()
    assert "emails.error" in columns_with(world.database, *HER)
    world.deliver(forgotten())
    assert columns_with(world.database, *HER) == []
    assert world.states() == {"order_confirmed": "failed"}


def test_mail_to_her_cannot_be_sent_again_while_one_to_staff_can(small_world: Any) -> None:
    small_world.deliver(hers(small_world, "orders.order.paid"), hers(small_world, "orders.review.opened"))
    small_world.sender.run()
    small_world.deliver(forgotten())
    mails = by_kind(small_world)
    with small_world.database.begin() as session, pytest.raises(Problem) as refused:
        resend(session, mails["order_confirmed"].id, "zoe")
    assert (refused.value.status, refused.value.kind) == (409, "customer-erased")
    with small_world.database.begin() as session:
        assert resend(session, mails["staff_review"].id, "zoe").status == "pending"


def test_digests_and_their_repeats_forget_her_and_nobody_else(any_database: Any, make_config: Any, world: Any) -> None:
    config: Config = make_config(world.config.smtp_url, staff_digest=Digest.parse("1h"))
    other = type(world)(world.database, config, world.server)
    other.deliver(hers(other, "orders.review.opened"), hers(other, "orders.dispute.opened"))
    other.tell("orders.dispute.opened", checkout_id="chk_2", dispute_id="dp_2", customer_email="eva@example.org")
    other.clock.advance(hours=2)
    assert other.sender.run() == 1
    with other.database.begin() as session:
        resend(session, by_kind(other)["staff_digest"].id, "zoe")
    other.deliver(forgotten())
    assert columns_with(other.database, *HER) == []
    digests = [email.context["items"] for email in other.emails() if email.kind == "staff_digest"]
    assert [sorted(str(item["context"]["customer_email"]) for item in items) for items in digests] == [
        ["None", "None", "eva@example.org"]
    ] * 2


def test_mail_of_the_same_transaction_is_neither_sent_nor_kept(world: Any) -> None:
    """Both events may wait in the queue together; what the first one writes is gathered until the transaction's end."""
    Runner(world.database, world.handlers).handle([hers(world, "orders.order.paid"), forgotten()])
    assert world.states() == {"order_confirmed": "suppressed"}
    assert columns_with(world.database, *HER) == []


@pytest.mark.parametrize("first", ["failure", "forgetting"])
def test_stored_event_loses_her(world: Any, first: str) -> None:
    failing = Handlers()

    @failing.on("orders.dispute.opened")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"nobody is called {event.data['customer_name']}")

    dispute = hers(world, "orders.dispute.opened")
    for step in ("failure", "forgetting") if first == "failure" else ("forgetting", "failure"):
        if step == "failure":
            assert deliver(world.database, failing, dispute) == "retrying"
        else:
            world.deliver(forgotten())
    assert columns_with(world.database, *HER) == []
    Runner(world.database, world.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert world.states() == {"staff_dispute_opened": "pending"}
