"""Occasions: each has one e-mail, with duplicated events and in any order of events."""

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from notifications.kinds import (
    CUSTOMER_KINDS,
    KINDS,
    STAFF_KINDS,
    STALE_AFTER_MAIL,
    STALE_AFTER_OUTCOME,
    CheckoutOutcome,
)

ARCHITECTURE = Path(__file__).parents[4] / "docs" / "architecture.md"
KIND_OF_EVENT = {
    "orders.order.paid": "order_confirmed",
    "orders.payment.pending": "payment_pending",
    "orders.payment.failed": "payment_failed",
    "orders.order.expired": "abandoned_cart",
    "orders.review.opened": "order_in_review and staff_review_opened",
    "orders.review.resolved": "order_canceled and staff_review_resolved",
    "orders.order.shipped": "order_shipped",
    "orders.refund.succeeded": "refund_succeeded",
    "orders.refund.failed": "refund_failed and staff_refund_failed",
    "orders.dispute.opened": "staff_dispute_opened",
    "orders.dispute.updated": "staff_dispute_updated",
    "orders.dispute.closed": "staff_dispute_closed",
    "inventory.stock.low": "staff_stock_low",
    "inventory.reservation.expiring": "staff_reservation_expiring",
}


@pytest.mark.parametrize(("event_type", "kind"), KIND_OF_EVENT.items())
def test_duplicated_event_queues_one_mail(sqlite_service: Any, event_type: str, kind: str) -> None:
    event = sqlite_service.event(event_type)
    assert sqlite_service.deliver(event, event) == ["done", "duplicate"]
    assert sqlite_service.receive(event_type) == "done"  # a second event about the same occasion
    emails = sqlite_service.emails()
    assert sorted((email.kind, email.status) for email in emails) == [(one, "pending") for one in kind.split(" and ")]
    assert all((email.recipient is None) == email.kind.startswith("staff_") for email in emails)


def test_table_of_the_architecture_lists_each_mail_of_an_event() -> None:
    kinds = {event_type: cells[0] | cells[1] for event_type, *cells in architecture_table()}
    assert kinds == {event_type: {*kind.split(" and ")} for event_type, kind in KIND_OF_EVENT.items()} | {
        "orders.payment.pending": {"payment_pending", "payment_instructions"},
        "orders.review.resolved": {"staff_review_resolved", "order_canceled", "order_confirmed"},
        "orders.order.canceled": {"order_canceled"},
        "orders.dispute.updated": {"staff_dispute_updated", "staff_dispute_closed"},
        "orders.order.paid": {"order_confirmed", "staff_order_paid"},  # with STAFF_NEW_ORDER
    }
    for _, to_customer, to_staff, _ in architecture_table():
        assert to_customer <= {*CUSTOMER_KINDS}
        assert to_staff <= {*STAFF_KINDS}


def test_table_of_the_architecture_lists_what_is_suppressed() -> None:
    outcomes = {"orders.order.paid": CheckoutOutcome.PAID, "orders.order.canceled": CheckoutOutcome.CANCELED}
    for event_type, to_customer, to_staff, suppressed in architecture_table():
        stale = {*STALE_AFTER_OUTCOME.get(outcomes.get(event_type), ())}
        for kind in to_customer | to_staff:
            stale |= {*STALE_AFTER_MAIL.get(kind, ())}
        assert suppressed == stale, event_type


def architecture_table() -> list[tuple[str, set[str], set[str], set[str]]]:
    """Return the event of every row, and the kinds in each of its other columns."""
    section = ARCHITECTURE.read_text("utf-8").partition("## Which events send which e-mails")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \|([^|]*)\|([^|]*)\|([^|]*)\|$", section, re.MULTILINE)
    return [
        (event_type, kinds_in(first), kinds_in(second), kinds_in(third)) for event_type, first, second, third in rows
    ]


def kinds_in(cell: str) -> set[str]:
    """Return the kinds that a cell lists, without those in a condition (", if …") or a cause (", by …")."""
    return set(re.findall(r"`(\w+)`", re.sub(r", (if|by)[^;]*", "", cell))) & {*KINDS}


def test_failed_payments_of_two_sessions_are_two_occasions(sqlite_service: Any) -> None:
    for session in ("cs_1", "cs_2"):
        sqlite_service.receive("orders.payment.failed", session_id=session)
    assert [email.subject_key for email in sqlite_service.emails()] == ["cs_1", "cs_2"]


def test_two_reasons_are_two_reviews(sqlite_service: Any) -> None:
    for reason in ("oversold", "amount-mismatch", "oversold"):
        sqlite_service.receive("orders.review.opened", reason=reason)
    assert len([email for email in sqlite_service.emails() if email.kind == "staff_review_opened"]) == 2


@pytest.mark.parametrize("event_type", ["orders.payment.pending", "orders.order.expired"])
def test_event_without_an_address_is_ignored(sqlite_service: Any, event_type: str) -> None:
    assert sqlite_service.receive(event_type, customer_email=None) == "ignored"
    assert sqlite_service.emails() == []


def test_payment_without_an_address_ends_the_wait_for_it(sqlite_service: Any) -> None:
    sqlite_service.receive("inventory.reservation.expiring", checkout_id="chk_1")
    assert sqlite_service.receive("orders.order.paid", checkout_id="chk_1", customer_email=None) == "done"
    assert sqlite_service.statuses() == {"staff_reservation_expiring": "suppressed"}


def test_order_without_an_address_still_notifies_staff(sqlite_service: Any) -> None:
    assert sqlite_service.receive("orders.review.opened", customer_email=None) == "done"
    assert sqlite_service.statuses() == {"staff_review_opened": "pending"}


def test_voucher_that_is_known_later_replaces_the_pending_mail(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.payment.pending")
    voucher = {"payment_method": "oxxo", "voucher_url": "https://payments.stripe.com/oxxo/1"}
    sqlite_service.receive("orders.payment.pending", **voucher)
    assert sqlite_service.statuses() == {"payment_pending": "suppressed", "payment_instructions": "pending"}
    sqlite_service.receive("orders.order.paid")
    assert sqlite_service.statuses()["payment_instructions"] == "suppressed"


@pytest.mark.parametrize(
    ("decision", "was_confirmed", "kind"),
    [("accept", False, None), ("accept", True, "order_confirmed")]
    + [(decision, confirmed, "order_canceled") for decision in ("cancel", "refund") for confirmed in (False, True)],
)
def test_customer_learns_what_a_review_decided(
    sqlite_service: Any, decision: str, was_confirmed: bool, kind: str | None
) -> None:
    for resolved_by in ("zoe", "policy"):
        ids = {"checkout_id": f"chk_{resolved_by}", "order_id": f"ord_{resolved_by}"}
        resolution = {"decision": decision, "resolved_by": resolved_by, "was_confirmed": was_confirmed}
        sqlite_service.receive("orders.review.resolved", **resolution, **ids)
    kinds = [email.kind for email in sqlite_service.emails() if email.recipient]
    assert kinds == ([kind] * 2 if kind else [])


@pytest.mark.parametrize(("reason", "kinds"), [(None, []), ("operator", ["order_canceled"])])
def test_customer_learns_that_an_operator_canceled(sqlite_service: Any, reason: str | None, kinds: list[str]) -> None:
    for _ in range(2):
        sqlite_service.receive("orders.order.canceled", reason=reason)
    assert [email.kind for email in sqlite_service.emails()] == kinds


def test_reminder_waits_for_its_delay(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.order.expired")
    (email,) = sqlite_service.emails()
    assert email.next_attempt_at - email.created_at == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))
    assert sqlite_service.sender.run() == 0
    sqlite_service.clock.advance(hours=1)
    assert sqlite_service.sender.run() == 1


PAID_LATE = ("orders.payment.pending", "orders.order.expired", "orders.payment.failed", "orders.order.paid")
CANCELED = ("orders.order.expired", "orders.order.canceled", "orders.order.canceled")
PAID_THOUGH_CANCELED = ("orders.order.expired", "orders.order.canceled", "orders.order.paid")


@pytest.mark.parametrize(
    ("events", "statuses"),
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
def test_every_order_of_events_ends_in_the_same_statuses(
    sqlite_service: Any, events: Any, statuses: dict[str, str]
) -> None:
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        delivered = [sqlite_service.event(event_type, **ids) for event_type in permutation]
        sqlite_service.deliver(*delivered, *delivered)
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        assert {email.kind: email.status for email in made} == statuses, permutation


def test_suppressed_mail_has_a_reason_and_is_never_sent(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.order.expired")
    sqlite_service.receive("orders.order.canceled")
    sqlite_service.clock.advance(days=30)
    assert sqlite_service.sender.run() == 0
    assert [email.error for email in sqlite_service.emails()] == ["the order is canceled"]


def test_cancel_does_not_suppress_a_failed_payments_mail(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.order.canceled")
    sqlite_service.receive("orders.payment.failed")
    assert sqlite_service.statuses() == {"payment_failed": "pending"}


def test_deferred_mail_that_became_stale_is_suppressed(service: Any) -> None:
    service.server.answers["ada@example.org"] = "451 greylisted"
    service.receive("orders.payment.pending")
    claimed = service.sender.claims.claim()
    service.receive("orders.order.paid")
    service.sender.outcomes.schedule_retry(claimed[0], "451 greylisted")
    assert service.statuses() == {"payment_pending": "suppressed", "order_confirmed": "pending"}


def test_concurrent_expiry_and_payment_leave_no_reminder(service: Any) -> None:
    numbers = range(8)
    pairs = [
        service.event(event_type, checkout_id=f"chk_{number}", order_id=f"ord_{number}")
        for number in numbers
        for event_type in ("orders.order.expired", "orders.order.paid")
    ]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(service.deliver, pairs))
    assert outcomes == [["done"]] * len(pairs)
    found = [(email.kind, email.status) for email in service.emails()]
    assert sorted(found) == [("abandoned_cart", "suppressed")] * 8 + [("order_confirmed", "pending")] * 8
