"""The settings of orders: Stripe's key must be of the mode that LIVEMODE names."""

import pytest
from events.errors import ConfigError
from orders.config import load

REQUIRED = {
    "DATABASE_URL": "sqlite:///x.db",
    "BROKER_URL": "memory://",
    "OPERATOR_TOKENS": "zoe:0123456789abcdef",
    "LIVEMODE": "true",
}


@pytest.mark.parametrize(("key", "problems"), [("sk_live_1", set()), ("sk_test_1", {"LIVEMODE", "STRIPE_API_KEY"})])
def test_key_of_the_other_mode_is_refused(monkeypatch: pytest.MonkeyPatch, key: str, problems: set[str]) -> None:
    for name, value in (REQUIRED | {"STRIPE_API_KEY": key}).items():
        monkeypatch.setenv(name, value)
    found: set[str] = set()
    try:
        load()
    except ConfigError as error:
        found = set(error.problems)
    assert found == problems
