"""A later word keeps back what it contradicts, in whichever order the events come."""

import itertools

import pytest

FAILED_REFUND = {"refund_succeeded": "suppressed", "staff_refund_failed": "pending"}
CLOSED = {
    "staff_dispute_opened": "suppressed",
    "staff_dispute_updated": "suppressed",
    "staff_dispute_closed": "pending",
}
BY_A_PERSON = {"staff_review": "suppressed", "staff_review_settled": "suppressed"}
BY_POLICY = {"staff_review": "suppressed", "staff_review_settled": "pending"}
OPENED = ("orders.review.opened", {"reason": "oversold"})


@pytest.mark.parametrize(
    ("events", "states"),
    [
        ([("orders.refund.succeeded", {}), ("orders.refund.failed", {})], FAILED_REFUND),
        ([(f"orders.dispute.{verb}", {}) for verb in ("opened", "updated", "closed")], CLOSED),
        ([OPENED, ("orders.review.resolved", {"resolved_by": "zoe"})], BY_A_PERSON),
        ([OPENED, ("orders.review.resolved", {"resolved_by": "policy"})], BY_POLICY),
    ],
)
def test_later_word_keeps_back_what_it_contradicts(small_world, events, states):
    for number, permutation in enumerate(itertools.permutations(events)):
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        delivered = [small_world.event(event_type, **changes, **ids) for event_type, changes in permutation]
        small_world.deliver(*delivered, *delivered)
        made = [email for email in small_world.emails() if email.checkout_id == ids["checkout_id"]]
        assert {email.kind: email.status for email in made} == states, permutation


def test_another_refund_dispute_or_review_is_not_kept_back(small_world):
    small_world.tell("orders.refund.succeeded", refund_id="re_1")
    small_world.tell("orders.refund.failed", refund_id="re_2")
    small_world.tell("orders.dispute.opened", dispute_id="du_1")
    small_world.tell("orders.dispute.closed", dispute_id="du_2")
    small_world.tell("orders.review.opened", reason="oversold")
    small_world.tell("orders.review.resolved", reason="duplicate-payment")
    assert {email.status for email in small_world.emails()} == {"pending"}


def test_review_that_a_person_settled_says_by_whom(small_world):
    small_world.tell("orders.review.resolved", resolved_by="zoe")
    (email,) = small_world.emails()
    assert (email.status, email.error) == ("suppressed", "settled by zoe: nobody has to be told")
    assert small_world.sender.run() == 0


def test_changes_of_a_dispute_are_occasions_of_their_own(small_world):
    for status in ("needs_response", "under_review", "under_review"):
        small_world.tell("orders.dispute.updated", dispute_status=status)
    small_world.tell("orders.dispute.updated", dispute_status="under_review", funds_withdrawn=False)
    assert len(small_world.emails()) == 3


def refunded(world, number, at, so_far):
    world.tell(
        "orders.refund.succeeded",
        refund_id=f"re_{number}",
        amount_refunded=so_far,
        occurred_at=f"2026-05-04T10:{at}:00+00:00",
    )


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_each_refund_has_its_mail_and_all_of_them_say_the_newest_sum(world, order):
    sums = {1: 2499, 2: 4998}
    for number in order:
        refunded(world, number, at=10 + number, so_far=sums[number])
    world.sender.run()
    assert [email.subject_key for email in world.emails()] == [f"re_{number}" for number in order]
    assert all("Refunded so far: €49.98" in mail.get_body(("plain",)).get_content() for mail in world.server.messages)


def test_refund_mail_that_was_put_off_says_the_sum_of_its_day_of_sending(small_world):
    small_world.server.answers["ada@example.org"] = "451 greylisted"
    refunded(small_world, 1, at=11, so_far=2499)
    small_world.sender.run()
    refunded(small_world, 2, at=12, so_far=4998)
    small_world.server.answers.clear()
    small_world.clock.advance(seconds=5)
    assert small_world.sender.run() == 2
    assert all("€49.98" in mail.get_body(("plain",)).get_content() for mail in small_world.server.messages)
