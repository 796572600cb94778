"""Settings from the environment and from files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from events.config import Common, common_settings, read_environment
from events.errors import ConfigError

TOKEN = "0123456789abcdef"
GIVEN = {
    "BROKER_URL": "amqp://broker",
    "DATABASE_URL": "sqlite:///x.db",
    "OPERATOR_TOKENS": f"zoe:{TOKEN}",
    "SERVICE_TOKEN": TOKEN,
}
OPTIONAL = ("PORT", "LOG_LEVEL", "HEALTH_PORT")

Load = Callable[..., Common]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that reads the configuration where only the given variables are set."""

    def read(environment: dict[str, str], **options: Any) -> Common:
        for name in (*GIVEN, *OPTIONAL):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"{name}_FILE", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with read_environment() as env:
            values = common_settings(env, **{"service": "orders", "port": 8003, "service_token": True, **options})
        return Common(**values)

    return read


def problems(load: Load, environment: dict[str, str], **options: Any) -> set[str]:
    """Return the variables that the error names."""
    with pytest.raises(ConfigError) as raised:
        load(environment, **options)
    return set(raised.value.problems)


def test_all_given_settings_are_read(load: Load) -> None:
    config = load({**GIVEN, "PORT": "9000", "LOG_LEVEL": "DEBUG", "HEALTH_PORT": "9100"})
    assert config == Common(
        service="orders",
        port=9000,
        broker_url="amqp://broker",
        database_url="sqlite:///x.db",
        operator_tokens={"zoe": TOKEN},
        service_token=TOKEN,
        log_level="DEBUG",
        health_port=9100,
    )


def test_missing_settings_get_their_defaults(load: Load) -> None:
    config = load(GIVEN)
    assert (config.port, config.log_level, config.health_port) == (8003, "INFO", 0)


def test_all_missing_settings_are_named_at_once(load: Load) -> None:
    assert problems(load, {}) == set(GIVEN)


def test_missing_and_invalid_settings_are_named_together(load: Load) -> None:
    invalid = {"PORT": "http", "LOG_LEVEL": "LOUD", "SERVICE_TOKEN": "short"}
    assert problems(load, invalid) == {"BROKER_URL", "DATABASE_URL", "OPERATOR_TOKENS", *invalid}


def test_config_error_names_variables_without_secrets(load: Load) -> None:
    with pytest.raises(ConfigError) as raised:
        load({**GIVEN, "SERVICE_TOKEN": "hunter2", "OPERATOR_TOKENS": "zoe:hunter3"})
    assert "SERVICE_TOKEN" in str(raised.value)
    assert "OPERATOR_TOKENS" in str(raised.value)
    assert "hunter" not in str(raised.value)


def test_secrets_are_not_in_the_repr(load: Load) -> None:
    text = repr(load(GIVEN))
    assert not [value for value in (TOKEN, *GIVEN.values()) if value in text]


def test_service_reads_only_the_settings_it_needs(load: Load) -> None:
    config = load({"BROKER_URL": "amqp://b"}, database=False, operators=False, service_token=False)
    assert (config.database_url, config.operator_tokens, config.service_token) == ("", {}, "")


@pytest.mark.parametrize("name", ["BROKER_URL", "DATABASE_URL"])
@pytest.mark.parametrize("blank", ["", " "])
def test_blank_url_counts_as_missing(load: Load, name: str, blank: str) -> None:
    """Compose passes an unset ${VARIABLE} as an empty one."""
    assert problems(load, {**GIVEN, name: blank}) == {name}


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_port_out_of_range_is_refused(load: Load, port: str) -> None:
    assert problems(load, {**GIVEN, "PORT": port}) == {"PORT"}


@pytest.mark.parametrize("token", ["", "short", TOKEN[:-1]])
def test_short_service_token_is_refused(load: Load, token: str) -> None:
    assert problems(load, {**GIVEN, "SERVICE_TOKEN": token}) == {"SERVICE_TOKEN"}


def test_every_operator_has_a_token(load: Load) -> None:
    config = load({**GIVEN, "OPERATOR_TOKENS": f"zoe:{TOKEN}, ana:a{TOKEN},bot:b:{TOKEN}"})
    assert config.operator_tokens == {"zoe": TOKEN, "ana": f"a{TOKEN}", "bot": f"b:{TOKEN}"}


@pytest.mark.parametrize("value", ["", "zoe:short", f":{TOKEN}", f"zoe:{TOKEN},ana:short"])
def test_invalid_operator_tokens_are_refused(load: Load, value: str) -> None:
    assert problems(load, {**GIVEN, "OPERATOR_TOKENS": value}) == {"OPERATOR_TOKENS"}


@pytest.mark.parametrize("value", [TOKEN, f"zoe:{TOKEN},"])
def test_operator_tokens_without_a_name_are_refused(load: Load, value: str) -> None:
    assert problems(load, {**GIVEN, "OPERATOR_TOKENS": value}) == {"OPERATOR_TOKENS"}


def test_operator_name_given_twice_is_refused(load: Load) -> None:
    """Otherwise one of the two could not sign in, and no message would say why."""
    assert problems(load, {**GIVEN, "OPERATOR_TOKENS": f"zoe:{TOKEN},zoe:b{TOKEN}"}) == {"OPERATOR_TOKENS"}


def test_secret_is_read_from_a_file(load: Load, tmp_path: Path) -> None:
    assert token_from_file(load, tmp_path, TOKEN) == TOKEN


def test_trailing_newline_of_a_file_is_not_in_the_secret(load: Load, tmp_path: Path) -> None:
    """Editors, `echo` and many secret stores end a file with a newline."""
    assert token_from_file(load, tmp_path, f"{TOKEN}\n") == TOKEN


def token_from_file(load: Load, folder: Path, content: str) -> str:
    """Return the service token that is read from a file with this content."""
    secret = folder / "token"
    secret.write_text(content)
    environment = {name: value for name, value in GIVEN.items() if name != "SERVICE_TOKEN"}
    return load({**environment, "SERVICE_TOKEN_FILE": str(secret)}).service_token


def test_operator_tokens_come_from_a_file(load: Load, tmp_path: Path) -> None:
    secret = tmp_path / "tokens"
    secret.write_text(f"zoe:{TOKEN}\n")
    environment = {name: value for name, value in GIVEN.items() if name != "OPERATOR_TOKENS"}
    assert load({**environment, "OPERATOR_TOKENS_FILE": str(secret)}).operator_tokens == {"zoe": TOKEN}


def test_missing_secret_file_is_named_with_other_errors(load: Load, tmp_path: Path) -> None:
    environment = {"SERVICE_TOKEN_FILE": str(tmp_path / "nothing")}
    assert {"BROKER_URL", "DATABASE_URL", "OPERATOR_TOKENS"} < problems(load, environment)


@pytest.mark.parametrize("url", ["amqp://a/%2F;amqps://b:5671/%2F", "amqps://broker", "memory://"])
def test_broker_url_may_list_the_nodes_of_a_cluster(load: Load, url: str) -> None:
    assert load({**GIVEN, "BROKER_URL": url}).broker_url == url


@pytest.mark.parametrize("url", ["amqp://a;b", "amqp://a;", ";amqp://a", "http://broker"])
def test_broker_url_without_amqp_is_refused(load: Load, url: str) -> None:
    assert problems(load, {**GIVEN, "BROKER_URL": url}) == {"BROKER_URL"}
