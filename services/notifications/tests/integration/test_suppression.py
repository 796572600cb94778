"""Suppression by other e-mails, in any order of the events; and the sums in refund e-mails."""

import itertools
from typing import Any

import pytest
from notifications.digest import DigestSchedule
from notifications.refund_amounts import refund_sums

FAILED_REFUND = {"refund_succeeded": "suppressed", "staff_refund_failed": "pending", "refund_failed": "pending"}
CLOSED = {
    "staff_dispute_opened": "suppressed",
    "staff_dispute_updated": "suppressed",
    "staff_dispute_closed": "pending",
}
RESOLVED_BY_A_PERSON = {
    "order_in_review": "suppressed",
    "staff_review_opened": "suppressed",
    "staff_review_resolved": "suppressed",
}
RESOLVED_BY_POLICY = {
    "order_in_review": "suppressed",
    "staff_review_opened": "suppressed",
    "staff_review_resolved": "pending",
}
OPENED = ("orders.review.opened", {"reason": "oversold"})


@pytest.mark.parametrize(
    ("events", "statuses"),
    [
        ([("orders.refund.succeeded", {}), ("orders.refund.failed", {})], FAILED_REFUND),
        ([(f"orders.dispute.{verb}", {}) for verb in ("opened", "updated", "closed")], CLOSED),
        ([OPENED, ("orders.review.resolved", {"resolved_by": "zoe", "decision": "accept"})], RESOLVED_BY_A_PERSON),
        ([OPENED, ("orders.review.resolved", {"resolved_by": "policy", "decision": "accept"})], RESOLVED_BY_POLICY),
    ],
)
def test_later_mail_suppresses_the_mails_that_it_makes_stale(
    sqlite_service: Any, events: Any, statuses: dict[str, str]
) -> None:
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        delivered = [sqlite_service.event(event_type, **changes, **ids) for event_type, changes in permutation]
        sqlite_service.deliver(*delivered, *delivered)
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        assert {email.kind: email.status for email in made} == statuses, permutation


def test_mail_about_another_subject_is_not_suppressed(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.refund.succeeded", refund_id="re_1")
    sqlite_service.receive("orders.refund.failed", refund_id="re_2")
    sqlite_service.receive("orders.dispute.opened", dispute_id="du_1")
    sqlite_service.receive("orders.dispute.closed", dispute_id="du_2")
    sqlite_service.receive("orders.review.opened", reason="oversold")
    sqlite_service.receive("orders.review.resolved", reason="duplicate-payment")
    assert {email.status for email in sqlite_service.emails()} == {"pending"}


def test_mails_of_an_appeal_end_alike_in_any_order(sqlite_service: Any) -> None:
    states = [("opened", "needs_response"), ("closed", "lost"), ("updated", "appeal_needs_response"), ("closed", "won")]
    facts = [(verb, status, f"2026-05-0{day}T10:00:00+00:00") for day, (verb, status) in enumerate(states, 1)]
    for number, permutation in enumerate(itertools.permutations(facts)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        delivered = [
            sqlite_service.event(f"orders.dispute.{verb}", dispute_status=status, occurred_at=at, **ids)
            for verb, status, at in permutation
        ]
        sqlite_service.deliver(*delivered, *delivered)
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        statuses = sorted((email.kind, email.status) for email in made)
        assert statuses == [
            ("staff_dispute_closed", "pending"),
            ("staff_dispute_closed", "pending"),
            ("staff_dispute_opened", "suppressed"),
            ("staff_dispute_updated", "suppressed"),
        ], permutation


def test_result_with_newer_sums_replaces_the_older_mail(sqlite_service: Any) -> None:
    """The bank closes a dispute, and returns a part of the money later. The first e-mail is not sent yet."""
    facts = [("closed", 12052, "10:00:00"), ("updated", 8052, "10:00:01")]
    for number, permutation in enumerate(itertools.permutations(facts)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        for verb, held, at in permutation:
            details = {"dispute_status": "lost", "amount_held": held, "occurred_at": f"2026-05-04T{at}+00:00"}
            sqlite_service.receive(f"orders.dispute.{verb}", **details, **ids)
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        sums = {email.event_data["amount_held"]: email.status for email in made}
        assert sums == {12052: "suppressed", 8052: "pending"}, permutation
        assert {email.kind for email in made} == {"staff_dispute_closed"}


@pytest.mark.parametrize("resolved_by", ["zoe", "policy"])
def test_decision_suppresses_the_requests_of_all_its_reviews(sqlite_service: Any, resolved_by: str) -> None:
    others = [{"reason": "duplicate-payment", "subject": "pi_2"}, {"reason": "radar-review", "subject": "prv_1"}]
    resolution = {"reason": "oversold", "subject": None, "resolved_by": resolved_by, "also_resolved": others}
    events: list[tuple[str, Any]] = [("orders.review.opened", other) for other in others]
    events += [OPENED, ("orders.review.resolved", resolution)]
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        sqlite_service.deliver(*(sqlite_service.event(type_, **changes, **ids) for type_, changes in permutation))
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        requests = {email.status for email in made if email.kind in ("staff_review_opened", "order_in_review")}
        reports = [email.status for email in made if email.kind == "staff_review_resolved"]
        assert (requests, reports.count("pending")) == ({"suppressed"}, int(resolved_by == "policy")), permutation


@pytest.mark.parametrize(
    ("refund", "status"),
    [({"review_reason": "oversold"}, "suppressed"), ({"review_reason": None}, "pending"), (None, "pending")],
)
def test_refund_replaces_the_mail_about_its_decision(sqlite_service: Any, refund: Any, status: str) -> None:
    decision = {"reason": "oversold", "decision": "refund", "resolved_by": "zoe"}
    events = [("orders.review.resolved", decision), *([("orders.refund.succeeded", refund)] if refund else [])]
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        sqlite_service.deliver(*(sqlite_service.event(type_, **changes, **ids) for type_, changes in permutation))
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        assert [email.status for email in made if email.kind == "order_canceled"] == [status], permutation


def test_review_resolved_by_a_person_sends_no_mail(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.review.resolved", resolved_by="zoe", decision="accept")
    (email,) = sqlite_service.emails()
    assert (email.status, email.error) == ("suppressed", "resolved by zoe: no e-mail needed")
    assert sqlite_service.sender.run() == 0


def test_each_new_state_of_a_dispute_is_an_occasion(sqlite_service: Any) -> None:
    for status in ("needs_response", "under_review", "under_review"):
        sqlite_service.receive("orders.dispute.updated", dispute_status=status)
    sqlite_service.receive("orders.dispute.updated", dispute_status="under_review", funds_withdrawn=False)
    assert len(sqlite_service.emails()) == 3


def test_appeal_is_news_after_the_dispute_was_closed(sqlite_service: Any) -> None:
    days = itertools.count(1)
    steps = [
        ("opened", "needs_response"),
        ("closed", "lost"),
        ("updated", "appeal_needs_response"),
        ("closed", "won"),
    ]
    events = [
        sqlite_service.event(
            f"orders.dispute.{verb}", dispute_status=status, occurred_at=f"2026-05-{next(days):02}T10:00:00+00:00"
        )
        for verb, status in steps
    ]
    sqlite_service.deliver(*events[:3])
    statuses = [(email.kind, email.status) for email in sqlite_service.emails()]
    assert ("staff_dispute_updated", "pending") in statuses
    sqlite_service.deliver(events[3])
    statuses = [(email.kind, email.status) for email in sqlite_service.emails()]
    assert statuses.count(("staff_dispute_closed", "pending")) == 2, "staff hear both decisions"
    assert ("staff_dispute_updated", "suppressed") in statuses


def receive_refund(service: Any, number: int, at: int, so_far: int) -> Any:
    service.receive(
        "orders.refund.succeeded",
        refund_id=f"re_{number}",
        amount_refunded=so_far,
        occurred_at=f"2026-05-04T10:{at}:00+00:00",
    )


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_all_refund_mails_have_the_newest_sum(service: Any, order: Any) -> None:
    sums = {1: 2499, 2: 4998}
    for number in order:
        receive_refund(service, number, at=10 + number, so_far=sums[number])
    service.sender.run()
    assert [email.subject_key for email in service.emails()] == [f"re_{number}" for number in order]
    assert all("Refunded so far: €49.98" in mail.get_body(("plain",)).get_content() for mail in service.server.messages)


def test_refunded_sum_does_not_depend_on_the_order_of_events(sqlite_service: Any) -> None:
    """The first refund fails later. All events have the same second, and each has the order's sum at its time."""
    facts = [
        ("succeeded", 1, 1000, 1000),
        ("succeeded", 2, 2000, 3000),
        ("failed", 1, 1000, 2000),
        ("succeeded", 3, 500, 2500),
    ]
    for number, permutation in enumerate(itertools.permutations(facts)):
        for verb, refund, amount, so_far in permutation:
            sqlite_service.receive(
                f"orders.refund.{verb}",
                checkout_id=f"chk_{number}",
                order_id=f"ord_{number}",
                amount_paid=4000 + refund,
                refund_id=f"re_{refund}",
                refund_amount=amount,
                amount_refunded=so_far,
            )
        with sqlite_service.database.read() as session:
            mail = next(one for one in sqlite_service.emails() if one.checkout_id == f"chk_{number}")
            assert refund_sums(session, mail) == {"amount_refunded": 2500, "amount_paid": 4003}, permutation


def test_request_that_stripe_refused_reduces_no_sum(sqlite_service: Any) -> None:
    """The second refund was made in the dashboard, and its own event is late."""
    receive_refund(sqlite_service, 1, at=11, so_far=3000)
    sqlite_service.receive(
        "orders.refund.failed", refund_id="rfr_1", refund_request_id="rfr_1", refund_amount=500, amount_refunded=3000
    )
    with sqlite_service.database.read() as session:
        assert refund_sums(session, sqlite_service.emails()[0])["amount_refunded"] == 3000


def test_deferred_refund_mail_has_the_sum_at_its_sending(sqlite_service: Any) -> None:
    sqlite_service.server.answers["ada@example.org"] = "451 greylisted"
    receive_refund(sqlite_service, 1, at=11, so_far=2499)
    sqlite_service.sender.run()
    receive_refund(sqlite_service, 2, at=12, so_far=4998)
    sqlite_service.server.answers.clear()
    sqlite_service.clock.advance(seconds=5)
    assert sqlite_service.sender.run() == 2
    assert all("€49.98" in mail.get_body(("plain",)).get_content() for mail in sqlite_service.server.messages)


OCCURRED: dict[str, tuple[str, str, dict[str, Any]]] = {  # facts about one order, in this order
    "paid": ("orders.order.paid", "2026-05-04T10:00:00+00:00", {}),
    "pending": ("orders.payment.pending", "2026-05-04T09:00:00+00:00", {}),
    "voucher": (
        "orders.payment.pending",
        "2026-05-04T09:00:01+00:00",
        {"payment_method": "oxxo", "voucher_url": "https://payments.stripe.com/oxxo/1"},
    ),
    "failed": ("orders.payment.failed", "2026-05-04T09:30:00+00:00", {}),
    "pending again": ("orders.payment.pending", "2026-05-04T09:40:00+00:00", {}),
    "canceled": ("orders.order.canceled", "2026-05-04T11:00:00.123456+00:00", {"reason": "operator"}),
    "decided": ("orders.review.resolved", "2026-05-04T11:00:00.123456+00:00", {"decision": "cancel"}),
    "duplicate refunded": (
        "orders.review.resolved",
        "2026-05-04T11:00:00.123456+00:00",
        {"decision": "refund", "reason": "duplicate-payment", "resolved_by": "zoe"},
    ),
    "refunded": ("orders.refund.succeeded", "2026-05-04T12:00:00+00:00", {"amount_refunded": 12052}),
    "refunded in part": ("orders.refund.succeeded", "2026-05-04T12:00:00+00:00", {"amount_refunded": 2499}),
    "shipped": ("orders.order.shipped", "2026-05-04T12:00:00+00:00", {"is_complete": True}),
    "shipped in part": ("orders.order.shipped", "2026-05-04T12:00:00+00:00", {"is_complete": False}),
    "paid after a failed refund": ("orders.order.paid", "2026-05-04T13:00:00+00:00", {}),
}


@pytest.mark.parametrize(
    ("facts", "unsent"),
    [
        (["pending", "failed"], {"payment_pending"}),
        (["voucher", "failed"], {"payment_instructions"}),
        (["failed", "pending again"], set()),
        (["paid", "canceled"], {"order_confirmed", "staff_order_paid"}),
        (["paid", "decided"], {"order_confirmed", "staff_order_paid"}),
        (["paid", "duplicate refunded"], set()),
        (["paid", "canceled", "refunded"], {"order_confirmed", "staff_order_paid"}),
        (["paid", "refunded"], {"staff_order_paid"}),
        (["paid", "refunded in part"], set()),
        (["paid", "shipped"], {"staff_order_paid"}),
        (["paid", "shipped in part"], set()),
        (["refunded", "paid after a failed refund"], set()),
    ],
)
def test_unsent_mail_that_is_no_longer_true_is_stale(sqlite_service: Any, facts: list[str], unsent: set[str]) -> None:
    sqlite_service.use(staff_new_order=True)
    for number, permutation in enumerate(itertools.permutations(facts)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        for event_type, occurred_at, changes in (OCCURRED[fact] for fact in permutation):
            sqlite_service.receive(event_type, occurred_at=occurred_at, **changes, **ids)
        made = [email for email in sqlite_service.emails() if email.checkout_id == ids["checkout_id"]]
        stale = {email.kind for email in made if email.status == "suppressed" and "resolved by" not in email.error}
        assert stale == unsent, permutation


@pytest.mark.parametrize("cause", ["canceled", "decided"])
def test_digest_does_not_ask_to_ship_a_canceled_order(sqlite_service: Any, cause: str) -> None:
    sqlite_service.use(staff_new_order=True, staff_digest=DigestSchedule.parse("4h"))
    for fact in ("paid", cause, "refunded"):
        event_type, occurred_at, changes = OCCURRED[fact]
        sqlite_service.receive(event_type, occurred_at=occurred_at, **changes)
    for _ in range(2):
        sqlite_service.receive("inventory.stock.low", sku=f"SKU-{_}")
    sqlite_service.clock.advance(hours=4)
    sqlite_service.sender.run()
    [digest] = [mail for mail in sqlite_service.server.messages if mail["To"] == "staff@shop.example"]
    assert "New order" not in digest.get_body(("plain",)).get_content()
