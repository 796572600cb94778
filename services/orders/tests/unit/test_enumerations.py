"""Statuses that several modules share have the same values everywhere."""

from events.messaging.contracts import REFUND_STATUSES
from orders.models.refunds import NOT_REFUNDED, RefundRequestStatus, RefundStatus, refund_strength
from orders.refunds.booking import ENTRY_KINDS


def test_refund_statuses_are_those_of_the_contract() -> None:
    assert {*RefundStatus} == {*REFUND_STATUSES}


def test_refund_request_has_every_status_of_a_refund() -> None:
    assert [*RefundRequestStatus] == ["requested", *RefundStatus]


def test_every_refund_status_has_a_timeline_entry() -> None:
    assert ENTRY_KINDS.keys() == {*RefundStatus}


def test_failed_refund_is_stronger_than_a_succeeded_one() -> None:
    assert all(refund_strength("succeeded") < refund_strength(status) for status in NOT_REFUNDED)
