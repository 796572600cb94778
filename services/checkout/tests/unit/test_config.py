import pytest
from checkout.config import load
from events.errors import ConfigError

GIVEN = {
    "DATABASE_URL": "sqlite:///x.db",
    "BROKER_URL": "memory://",
    "OPERATOR_TOKENS": "zoe:0123456789abcdef",
    "SERVICE_TOKEN": "0123456789abcdef",
    "STRIPE_API_KEY": "sk_test_1",
    "INVENTORY_URL": "http://inventory:8004",
    "SHOP_URL": "https://Shop.test/start",
}
OPTIONAL = (
    "ALLOWED_ORIGINS", "CHECKOUT_SESSION_MINUTES", "STRIPE_API_BASE", "SHIPPING_COUNTRIES", "BILLING_ADDRESS",
    "MAX_LINES", "DEFAULT_CURRENCY", "COLLECT_PHONE", "ALLOW_PROMOTION_CODES",
)  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*GIVEN, *OPTIONAL):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_everything_missing_is_named(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() >= GIVEN.keys()


def test_bad_values_are_named(environment: pytest.MonkeyPatch) -> None:
    bad = {"CHECKOUT_SESSION_MINUTES": "29", "ALLOWED_ORIGINS": "https://a.test,b.test", "STRIPE_API_BASE": "ftp://x"}
    bad |= {"SHIPPING_COUNTRIES": "DE,at", "BILLING_ADDRESS": "never", "MAX_LINES": "101", "DEFAULT_CURRENCY": "xyz"}
    for name, value in (GIVEN | bad).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() == bad.keys()


def test_shop_and_allowed_origins_are_ours(environment: pytest.MonkeyPatch) -> None:
    for name, value in (GIVEN | {"ALLOWED_ORIGINS": "http://127.0.0.1:8000, https://b.test/"}).items():
        environment.setenv(name, value)
    assert load().origins == {"https://shop.test", "http://127.0.0.1:8000", "https://b.test"}


def test_what_the_page_asks_for(environment: pytest.MonkeyPatch) -> None:
    for name, value in (GIVEN | {"SHIPPING_COUNTRIES": "DE, AT", "COLLECT_PHONE": "yes"}).items():
        environment.setenv(name, value)
    config = load()
    assert (config.shipping_countries, config.collect_phone, config.promotion_codes) == (("DE", "AT"), True, False)
