"""A fake Stripe whose clock a test can set back."""

import time
from collections.abc import Iterator

import pytest

from demo.fake_stripe.server import FakeStripe


@pytest.fixture
def clock() -> dict[str, float]:
    """The seconds by which Stripe's clock is behind, so that a test can buy at several times."""
    return {"behind": 0.0}


@pytest.fixture
def fake(clock: dict[str, float]) -> Iterator[FakeStripe]:
    """A fake Stripe without webhook endpoints: every webhook is lost."""
    with FakeStripe(
        followup_delay=36000, sepa_delay=36000, time_source=lambda: time.time() - clock["behind"]
    ) as running:
        yield running
