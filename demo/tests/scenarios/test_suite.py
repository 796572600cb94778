from typing import Any

import pytest

from demo.fake_stripe.errors import StripeError
from demo.scenarios import suite
from demo.scenarios.run import ScenarioRun


def test_scenario_that_stripe_refuses_is_a_failed_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_run: ScenarioRun) -> None:
        raise StripeError("This Checkout Session is expired.")

    def fine(run: ScenarioRun) -> None:
        run.check("The order is paid", "paid", lambda: "paid")

    monkeypatch.setattr(suite, "SCENARIOS", {"late": refused, "card payment": fine})
    system: Any = None
    assert [(result.scenario, result.ok, result.seen) for result in suite.run_all(system)] == [
        ("late", False, "StripeError: This Checkout Session is expired."),
        ("card payment", True, "paid"),
    ]
