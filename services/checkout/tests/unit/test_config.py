"""The settings and their validation."""

import pytest
from checkout.config import load
from events.errors import ConfigError

REQUIRED = {
    "DATABASE_URL": "sqlite:///x.db",
    "BROKER_URL": "memory://",
    "OPERATOR_TOKENS": "zoe:0123456789abcdef",
    "SERVICE_TOKEN": "0123456789abcdef",
    "STRIPE_API_KEY": "sk_test_1",
    "INVENTORY_URL": "http://inventory:8004",
    "SHOP_URL": "https://Shop.test/start",
}
OPTIONAL = (
    "LIVEMODE", "ALLOWED_ORIGINS", "CHECKOUT_SESSION_MINUTES", "STRIPE_API_BASE", "SHIPPING_COUNTRIES",
    "BILLING_ADDRESS", "MAX_LINES", "DEFAULT_CURRENCY", "COLLECT_PHONE", "ALLOW_PROMOTION_CODES",
)  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*REQUIRED, *OPTIONAL):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_missing_settings_are_all_named(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() >= REQUIRED.keys()


def test_invalid_settings_are_all_named(environment: pytest.MonkeyPatch) -> None:
    invalid = {
        "CHECKOUT_SESSION_MINUTES": "29",
        "ALLOWED_ORIGINS": "https://a.test,b.test",
        "STRIPE_API_BASE": "ftp://x",
    }
    invalid |= {
        "SHIPPING_COUNTRIES": "DE,at",
        "BILLING_ADDRESS": "never",
        "MAX_LINES": "101",
        "DEFAULT_CURRENCY": "xyz",
        "LIVEMODE": "perhaps",
    }
    for name, value in (REQUIRED | invalid).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() == invalid.keys()


def test_origins_are_the_shop_and_the_allowed_ones(environment: pytest.MonkeyPatch) -> None:
    for name, value in (REQUIRED | {"ALLOWED_ORIGINS": "http://127.0.0.1:8000, https://b.test/"}).items():
        environment.setenv(name, value)
    assert load().origins == {"https://shop.test", "http://127.0.0.1:8000", "https://b.test"}


def test_page_settings_are_read(environment: pytest.MonkeyPatch) -> None:
    for name, value in (REQUIRED | {"SHIPPING_COUNTRIES": "DE, AT", "COLLECT_PHONE": "yes"}).items():
        environment.setenv(name, value)
    config = load()
    assert (config.shipping_countries, config.collect_phone, config.allow_promotion_codes) == (
        ("DE", "AT"),
        True,
        False,
    )


@pytest.mark.parametrize("country", ["UK", "XX", "KP"])
def test_country_that_stripe_does_not_know_is_named(environment: pytest.MonkeyPatch, country: str) -> None:
    for name, value in (REQUIRED | {"SHIPPING_COUNTRIES": f"DE,{country}"}).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    [message] = raised.value.problems["SHIPPING_COUNTRIES"]
    assert message.startswith(f"Stripe's page cannot ask for addresses in {country}. Use ISO 3166 codes")


@pytest.mark.parametrize(
    ("livemode", "key"), [("true", "sk_test_1"), ("true", "rk_test_1"), ("false", "sk_live_1"), ("false", "rk_live_1")]
)
def test_key_of_the_other_mode_names_both_settings(environment: pytest.MonkeyPatch, livemode: str, key: str) -> None:
    for name, value in (REQUIRED | {"LIVEMODE": livemode, "STRIPE_API_KEY": key}).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() == {"LIVEMODE", "STRIPE_API_KEY"}
    assert key not in str(raised.value)


@pytest.mark.parametrize(("livemode", "key"), [("true", "sk_live_1"), ("true", "rk_live_1"), ("true", "other_1")])
def test_key_of_the_same_or_no_mode_is_accepted(environment: pytest.MonkeyPatch, livemode: str, key: str) -> None:
    for name, value in (REQUIRED | {"LIVEMODE": livemode, "STRIPE_API_KEY": key}).items():
        environment.setenv(name, value)
    assert load().livemode is True


@pytest.mark.parametrize("key", ["sk_live_1", "sk_test_1"])
def test_any_key_is_accepted_without_a_mode(environment: pytest.MonkeyPatch, key: str) -> None:
    for name, value in (REQUIRED | {"STRIPE_API_KEY": key}).items():
        environment.setenv(name, value)
    assert load().livemode is None
