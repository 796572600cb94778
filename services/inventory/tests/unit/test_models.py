from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from inventory.models import COMMITTED, EXPIRED, HELD, RELEASED, Reservation

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
Transition = Callable[[Reservation], bool]


def reservation(status: str) -> Reservation:
    return Reservation(checkout_id="chk_1", status=status, expires_at=NOON)


@pytest.mark.parametrize(
    ("transition", "becomes"),
    [
        (Reservation.commit, {HELD: COMMITTED, RELEASED: COMMITTED, EXPIRED: COMMITTED}),
        (Reservation.release, {HELD: RELEASED, EXPIRED: RELEASED}),
        (Reservation.expire, {HELD: EXPIRED}),
        (Reservation.hold_again, {EXPIRED: HELD}),
    ],
)
@pytest.mark.parametrize("before", [HELD, COMMITTED, RELEASED, EXPIRED])
def test_transition_changes_allowed_statuses_and_returns_true(
    transition: Transition, becomes: dict[str, str], before: str
) -> None:
    changed = reservation(before)
    assert transition(changed) is (before in becomes)
    assert changed.status == becomes.get(before, before)


@pytest.mark.parametrize(
    ("status", "until", "extended"),
    [
        (HELD, NOON + timedelta(hours=1), True),
        (HELD, NOON, False),
        (HELD, NOON - timedelta(hours=1), False),
        (RELEASED, NOON + timedelta(hours=1), False),
    ],
)
def test_end_moves_only_later_and_only_while_held(status: str, until: datetime, extended: bool) -> None:
    changed = reservation(status)
    assert changed.extend(until) is extended
    assert changed.expires_at == (until if extended else NOON)
