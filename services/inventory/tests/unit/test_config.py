import pytest
from events.errors import ConfigError
from inventory.config import load

GOOD = {
    "BROKER_URL": "amqp://broker",
    "DATABASE_URL": "postgresql://database/inventory",
    "OPERATOR_TOKENS": "ana:operator-token-of-ana",
    "SERVICE_TOKEN": "service-token-of-tests",
    "ALLOWED_ORIGINS": "https://shop.example,https://www.shop.example",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_settings_are_read_from_the_environment() -> None:
    config = load()
    assert config.port == 8004
    assert config.allowed_origins == ("https://shop.example", "https://www.shop.example")


def test_all_missing_settings_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError) as caught:
        load()
    assert set(caught.value.problems) == {"BROKER_URL", "DATABASE_URL", "OPERATOR_TOKENS", "SERVICE_TOKEN"}


def test_secrets_are_not_shown() -> None:
    assert "service-token-of-tests" not in repr(load())


def test_origins_with_spaces_and_slashes_are_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://shop.example/ , https://Www.shop.example")
    assert load().allowed_origins == ("https://shop.example", "https://www.shop.example")


@pytest.mark.parametrize("origins", ["*", "https://*.shop.example", "https://shop.example/app", "shop.example"])
def test_origins_that_no_browser_sends_stop_the_start(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", origins)
    with pytest.raises(ConfigError) as caught:
        load()
    assert set(caught.value.problems) == {"ALLOWED_ORIGINS"}
