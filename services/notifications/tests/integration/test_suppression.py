"""Suppression by other e-mails, in any order of the events; and the sums in refund e-mails."""

import itertools
from typing import Any

import pytest
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
