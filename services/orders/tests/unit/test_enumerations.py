"""Statuses that several modules share have the same values everywhere."""

from events.messaging.contracts.refunds import RefundStatus
from orders.models.refunds import FINAL, NOT_REFUNDED, RefundRequestStatus, can_follow
from orders.refunds.booking import ENTRY_KINDS


def test_refund_request_has_every_status_of_a_refund() -> None:
    assert [*RefundRequestStatus] == ["requested", *RefundStatus]


def test_every_refund_status_has_a_timeline_entry() -> None:
    assert ENTRY_KINDS.keys() == {*RefundStatus}


def test_failed_refund_is_final_and_can_follow_a_succeeded_one() -> None:
    assert all(can_follow(status, "succeeded") for status in NOT_REFUNDED)
    assert not any(can_follow("succeeded", status) for status in NOT_REFUNDED)


def test_statuses_under_way_can_follow_each_other() -> None:
    under_way = ["pending", "requires_action", "invented_by_stripe"]
    assert all(can_follow(one, other) for one in under_way for other in under_way)
    assert all(can_follow(final, one) for final in FINAL for one in under_way)
