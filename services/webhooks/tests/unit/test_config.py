"""The settings of the ingest: a key for backfill must be of the same mode as the events."""

import pytest
from events.errors import ConfigError
from webhooks.config import load

REQUIRED = {"BROKER_URL": "memory://", "STRIPE_WEBHOOK_SECRETS": "whsec_1", "LIVEMODE": "true"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_key_of_the_other_mode_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STRIPE_API_KEY", "rk_test_1")
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() == {"LIVEMODE", "STRIPE_API_KEY"}


def test_web_process_needs_no_key(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("STRIPE_API_KEY", raising=False)
    assert load().livemode is True
