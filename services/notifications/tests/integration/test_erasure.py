"""Erasure of a customer: no more e-mails to them, and stored e-mails are redacted. E-mails to staff are still sent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.runner import Runner
from events.testing.bus import deliver
from events.testing.columns import columns_with
from notifications.config import Config
from notifications.digest import DigestSchedule
from notifications.errors import CustomerErasedError
from notifications.models import Email
from notifications.resending import ResendOne, resend

PERSONAL_WORDS = ("zoe@example", "Zoë Müller", "JD0146000", "buy.stripe")
PERSONAL_DATA = {"checkout_id": "chk_1", "customer_email": "zoe@example.org", "customer_name": "Zoë Müller"}
ERASED_AT = datetime(2026, 11, 3, 10, 15, tzinfo=UTC)
EVENT_TYPES = (
    "orders.order.paid", "orders.payment.pending", "orders.payment.failed", "orders.order.expired",
    "orders.order.shipped", "orders.refund.succeeded", "orders.review.opened", "orders.refund.failed",
    "orders.dispute.opened",
)  # fmt: skip


def erasure(again: str = "") -> Event:
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": ERASED_AT}
    return own_event("orders.customer.erased", data, correlation_id="chk_1", event_id=f"evt_erasure{again}")


def personal_event(service: Any, event_type: str, **changes: Any) -> Event:
    event: Event = service.event(event_type, **PERSONAL_DATA, **changes)
    return event


def by_kind(service: Any) -> dict[str, Email]:
    return {email.kind: email for email in service.emails()}


def test_erasure_redacts_sent_mails_and_keeps_their_rows(service: Any) -> None:
    service.deliver(*(personal_event(service, event_type) for event_type in EVENT_TYPES))
    service.sender.run()
    assert {"emails.recipient", "emails.event_data"} <= set(columns_with(service.database, *PERSONAL_WORDS))
    before = {email.id: (email.kind, email.sent_at, email.message_id) for email in service.emails()}

    assert service.deliver(erasure()) == ["done"]
    assert columns_with(service.database, *PERSONAL_WORDS) == []
    assert {email.id: (email.kind, email.sent_at, email.message_id) for email in service.emails()} == before


def test_pending_mail_of_an_erased_customer_is_not_sent(service: Any) -> None:
    service.deliver(personal_event(service, "orders.order.paid"), erasure())
    service.clock.advance(days=3)
    assert service.sender.run() == 0
    assert service.server.messages == []
    assert [(email.status, email.error) for email in service.emails()] == [("suppressed", "the customer is erased")]


@pytest.mark.parametrize("event_type", EVENT_TYPES[:6])
def test_event_after_the_erasure_queues_no_mail(sqlite_service: Any, event_type: str) -> None:
    _, outcome = sqlite_service.deliver(erasure(), personal_event(sqlite_service, event_type))
    assert outcome == ("done" if event_type == "orders.order.paid" else "ignored"), "a payment ends the wait for it"
    assert sqlite_service.emails() == []
    assert columns_with(sqlite_service.database, *PERSONAL_WORDS) == []


def test_mails_to_staff_after_the_erasure_are_redacted(service: Any) -> None:
    before, after = personal_event(service, "orders.review.opened"), personal_event(service, "orders.dispute.opened")
    assert service.deliver(before, erasure(), after) == ["done"] * 3
    assert columns_with(service.database, *PERSONAL_WORDS) == []
    assert service.sender.run() == 2
    assert set(service.server.recipients) == {"staff@shop.example"}
    assert not any(word in message.as_string() for message in service.server.messages for word in PERSONAL_WORDS)


def test_second_erasure_changes_nothing(service: Any) -> None:
    service.deliver(personal_event(service, "orders.order.paid"), erasure())
    [before] = service.emails()
    assert service.deliver(erasure("again")) == ["done"]
    [after] = service.emails()
    assert (after.status, after.error, after.event_data) == (before.status, before.error, before.event_data)


def test_other_checkouts_keep_their_recipients(service: Any) -> None:
    service.receive_paid(2)
    service.deliver(personal_event(service, "orders.order.paid"), erasure())
    assert {email.checkout_id: email.recipient for email in service.emails()} == {
        "chk_1": None, "chk_2": "c2@example.org"
    }  # fmt: skip
    assert service.sender.run() == 1


def test_claimed_mail_that_fails_after_the_erasure_is_suppressed(service: Any) -> None:
    # An e-mail without a recipient would go to the staff.
    service.deliver(personal_event(service, "orders.order.paid"))
    service.server.answers["zoe@example.org"] = "451 later"
    sender = service.sender
    hand_over = sender._hand_over

    def erase_meanwhile(email: Any, connection: Any) -> Any:
        service.deliver(erasure())
        return hand_over(email, connection)

    sender._hand_over = erase_meanwhile
    sender.run()
    service.clock.advance(days=1)
    service.new_sender().run()
    assert service.server.messages == []
    assert [(email.status, email.recipient) for email in service.emails()] == [("suppressed", None)]
    assert columns_with(service.database, *PERSONAL_WORDS) == []


def test_claimed_mail_of_a_dead_sender_does_not_go_to_staff(sqlite_service: Any) -> None:
    sqlite_service.deliver(personal_event(sqlite_service, "orders.order.paid"))
    sqlite_service.sender.claims.claim()
    sqlite_service.deliver(erasure())
    sqlite_service.clock.advance(days=1)
    assert sqlite_service.new_sender().run() == 0


def test_address_in_the_mail_servers_answer_is_erased(service: Any) -> None:
    service.server.answers["zoe@example.org"] = "550 5.1.1 <zoe@example.org> unknown"
    service.deliver(personal_event(service, "orders.order.paid"))
    service.sender.run()
    assert "emails.error" in columns_with(service.database, *PERSONAL_WORDS)
    service.deliver(erasure())
    assert columns_with(service.database, *PERSONAL_WORDS) == []
    assert service.statuses() == {"order_confirmed": "failed"}


def test_only_mails_to_staff_can_be_resent_after_the_erasure(sqlite_service: Any) -> None:
    sqlite_service.deliver(
        personal_event(sqlite_service, "orders.order.paid"), personal_event(sqlite_service, "orders.review.opened")
    )
    sqlite_service.sender.run()
    sqlite_service.deliver(erasure())
    mails = by_kind(sqlite_service)
    with sqlite_service.database.begin() as session, pytest.raises(CustomerErasedError):
        resend(session, ResendOne(mails["order_confirmed"].id), "zoe", "key-1")
    with sqlite_service.database.begin() as session:
        assert resend(session, ResendOne(mails["staff_review_opened"].id), "zoe", "key-2").status == "pending"


def test_erasure_redacts_one_customer_in_digests_and_resends(any_database: Any, make_config: Any, service: Any) -> None:
    config: Config = make_config(service.config.smtp_url, staff_digest=DigestSchedule.parse("1h"))
    other = type(service)(service.database, config, service.server)
    other.deliver(personal_event(other, "orders.review.opened"), personal_event(other, "orders.dispute.opened"))
    other.receive("orders.dispute.opened", checkout_id="chk_2", dispute_id="dp_2", customer_email="eva@example.org")
    other.clock.advance(hours=2)
    assert other.sender.run() == 2  # the digest, and the customer's e-mail about the review
    with other.database.begin() as session:
        resend(session, ResendOne(by_kind(other)["staff_digest"].id), "zoe", "key-1")
    other.deliver(erasure())
    assert columns_with(other.database, *PERSONAL_WORDS) == []
    digests = [email.event_data["items"] for email in other.emails() if email.kind == "staff_digest"]
    assert [sorted(str(item["event_data"]["customer_email"]) for item in items) for items in digests] == [
        ["None", "None", "eva@example.org"]
    ] * 2


def test_erasure_redacts_a_mail_of_the_same_transaction(service: Any) -> None:
    # The first event's row is inserted only at the end of the transaction.
    Runner(service.database, service.handlers).handle([personal_event(service, "orders.order.paid"), erasure()])
    assert service.statuses() == {"order_confirmed": "suppressed"}
    assert columns_with(service.database, *PERSONAL_WORDS) == []


@pytest.mark.parametrize("first", ["failure", "erasure"])
def test_stored_event_is_redacted(service: Any, first: str) -> None:
    failing = Handlers()

    @failing.on("orders.dispute.opened")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"no customer is called {event.data['customer_name']}")

    dispute = personal_event(service, "orders.dispute.opened")
    for step in ("failure", "erasure") if first == "failure" else ("erasure", "failure"):
        if step == "failure":
            assert deliver(service.database, failing, dispute) == "retrying"
        else:
            service.deliver(erasure())
    assert columns_with(service.database, *PERSONAL_WORDS) == []
    Runner(service.database, service.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert service.statuses() == {"staff_dispute_opened": "pending"}
