"""The settings of the orders service."""

import pytest
from events.errors import ConfigError
from orders.config import load


def test_unknown_review_reasons_are_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEW_AUTO_REFUND", "oversold,whim")
    with pytest.raises(ConfigError) as error:
        load()
    assert "REVIEW_AUTO_REFUND" in error.value.problems
