from datetime import UTC, datetime

import pytest
from notifications.digest import NO_DIGEST, DigestSchedule

NOW = datetime(2026, 5, 4, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "now", "due"),
    [
        ("off", NOW, NOW),
        ("07:30", NOW, datetime(2026, 5, 5, 7, 30, tzinfo=UTC)),
        ("17:00", NOW, datetime(2026, 5, 4, 17, tzinfo=UTC)),
        ("10:12", NOW, datetime(2026, 5, 5, 10, 12, tzinfo=UTC)),
        ("4h", NOW, datetime(2026, 5, 4, 12, tzinfo=UTC)),
        ("24h", NOW, datetime(2026, 5, 5, tzinfo=UTC)),
    ],
)
def test_mail_waits_for_the_next_digest(text: str, now: datetime, due: datetime) -> None:
    assert DigestSchedule.parse(text).next_due(now) == due


def test_schedule_without_digests_is_false() -> None:
    assert not NO_DIGEST
    assert DigestSchedule.parse("1h")


@pytest.mark.parametrize("text", ["", "on", "25:00", "7:30", "5h", "0h", "4", "-1h"])
def test_invalid_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Use off, HH:MM"):
        DigestSchedule.parse(text)
