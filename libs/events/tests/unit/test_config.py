"""Settings from the environment and from files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from environs import validate
from events.config import (
    Common,
    database_url_setting,
    load_settings,
    operator_tokens_setting,
    port_setting,
    service_token_setting,
    setting,
    settings,
    validate_url,
)
from events.errors import ConfigError
from marshmallow import ValidationError

TOKEN = "0123456789abcdef"
GIVEN = {
    "BROKER_URL": "amqp://broker",
    "DATABASE_URL": "sqlite:///x.db",
    "OPERATOR_TOKENS": f"zoe:{TOKEN}",
    "SERVICE_TOKEN": TOKEN,
}
OPTIONAL = ("PORT", "LOG_LEVEL", "HEALTH_PORT")

Load = Callable[..., Common]


@dataclass(frozen=True, kw_only=True)
class Orders(Common):
    """A service with everything that is common."""

    service: str = "orders"
    port: int = port_setting(8003)
    database_url: str = database_url_setting()
    operator_tokens: Mapping[str, str] = operator_tokens_setting()
    service_token: str = service_token_setting()


@dataclass(frozen=True, kw_only=True)
class Ingest(Common):
    """A service without database, operators and service token."""

    service: str = "ingest"
    port: int = port_setting(8002)


def _folder(text: str) -> Path | None:
    if not text:
        return None
    if not text.startswith("/"):
        raise ValueError("Use an absolute path.")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class Shop(Ingest):
    """A service with settings of every kind."""

    name: str = setting("SHOP_NAME", "The shop's name.")
    limit: int = setting("SHOP_LIMIT", "A number.", default=20, checks=[validate.Range(min=1)])
    livemode: bool = setting("SHOP_LIVEMODE", "A switch.", default=False)
    delay: timedelta = setting("SHOP_DELAY", "Seconds.", default=timedelta(hours=1))
    countries: Sequence[str] = setting("SHOP_COUNTRIES", "Codes.", default=(), checks=[validate.Length(max=2)])
    folder: Path | None = setting("SHOP_FOLDER", "A folder.", default="", parse=_folder)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that reads a configuration where only the given variables are set."""

    def read(environment: dict[str, str], config: type[Common] = Orders) -> Common:
        for name in (*GIVEN, *OPTIONAL):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"{name}_FILE", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_settings(config)

    return read


def problems(load: Load, environment: dict[str, str], config: type[Common] = Orders) -> set[str]:
    """Return the variables that the error names."""
    with pytest.raises(ConfigError) as raised:
        load(environment, config)
    return set(raised.value.problems)


def test_all_given_settings_are_read(load: Load) -> None:
    config = load({**GIVEN, "PORT": "9000", "LOG_LEVEL": "DEBUG", "HEALTH_PORT": "9100"})
    assert config == Orders(
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
    config = load({"BROKER_URL": "amqp://b"}, Ingest)
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


@pytest.mark.parametrize(
    "value", ["", "zoe:short", f":{TOKEN}", f"zoe:{TOKEN},ana:short", f"Policy:{TOKEN}", f"stripe:{TOKEN}"]
)
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


@pytest.mark.parametrize(
    "url",
    ["amqp://:5672", "amqp://a:99999", "amqp://a:0", "amqp://zoe:a/b@broker", "amqp://a;amqp://b:x", "amqp://[::1"],
)
def test_broker_url_without_host_or_valid_port_is_refused(load: Load, url: str) -> None:
    assert problems(load, {**GIVEN, "BROKER_URL": url}) == {"BROKER_URL"}


@pytest.mark.parametrize("url", ["postgresql://zoe:b@a:5432/n", "postgres://a/n", "postgresql+psycopg:///n?host=/tmp"])
def test_database_url_may_name_host_port_or_socket(load: Load, url: str) -> None:
    assert load({**GIVEN, "DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url", ["postgres+psycopg://a/n", "sqlite://x.db", "mysql://a/n", "postgresql://a:99999/n", "postgresql://a:x/n"]
)
def test_database_url_that_cannot_connect_is_refused(load: Load, url: str) -> None:
    assert problems(load, {**GIVEN, "DATABASE_URL": url}) == {"DATABASE_URL"}


@pytest.mark.parametrize("name", ["BROKER_URL", "DATABASE_URL"])
def test_error_about_a_url_does_not_quote_its_password(load: Load, name: str) -> None:
    scheme = {"BROKER_URL": "amqp", "DATABASE_URL": "postgresql"}[name]
    with pytest.raises(ConfigError) as raised:
        load({**GIVEN, name: f"{scheme}://zoe:hunter2@broker:x/n"})
    assert "hunter2" not in str(raised.value)
    assert "%2F" in str(raised.value)


@pytest.mark.parametrize("url", ["http://inventory_service:8000", "https://shop.example/a?b=c", "http://[::1]:8000"])
def test_http_url_is_accepted(url: str) -> None:
    validate_url(url)


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://:8000", "http://[::1", "http://a:99999", "http://a:x"]
)
def test_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        validate_url(url)


@pytest.mark.parametrize("url", ["http://zoe@a", "http://zoe:pw@a", "http://:pw@a", "http://@a"])
def test_http_url_with_user_or_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="without user name and password"):
        validate_url(url)


def test_setting_of_each_type_is_converted(load: Load) -> None:
    given = {
        "SHOP_NAME": "Clozit",
        "SHOP_LIMIT": "3",
        "SHOP_LIVEMODE": "true",
        "SHOP_DELAY": "90",
        "SHOP_COUNTRIES": "DE, AT",
        "SHOP_FOLDER": "/srv/templates",
    }
    config = load({"BROKER_URL": "amqp://broker", **given}, Shop)
    assert config == Shop(
        broker_url="amqp://broker",
        name="Clozit",
        limit=3,
        livemode=True,
        delay=timedelta(seconds=90),
        countries=("DE", "AT"),
        folder=Path("/srv/templates"),
    )


def test_setting_without_a_value_gets_its_default(load: Load) -> None:
    assert load({"BROKER_URL": "amqp://broker", "SHOP_NAME": "Clozit"}, Shop) == Shop(
        broker_url="amqp://broker", name="Clozit"
    )


def test_invalid_setting_of_each_type_is_named(load: Load) -> None:
    invalid = {
        "SHOP_LIMIT": "0",
        "SHOP_LIVEMODE": "perhaps",
        "SHOP_DELAY": "soon",
        "SHOP_COUNTRIES": "DE,AT,CH",
        "SHOP_FOLDER": "templates",
    }
    assert problems(load, invalid, Shop) == {"BROKER_URL", "SHOP_NAME", *invalid}


def test_error_of_a_parser_is_the_message(load: Load) -> None:
    with pytest.raises(ConfigError) as raised:
        load({"SHOP_FOLDER": "templates"}, Shop)
    assert raised.value.problems["SHOP_FOLDER"] == ["Use an absolute path."]


def test_settings_are_described_where_they_are_declared() -> None:
    described = {each.variable: (each.description, each.is_secret) for each in settings(Shop).values()}
    assert described.keys() == {
        "PORT", "BROKER_URL", "DECLARE_TOPOLOGY", "LOG_LEVEL", "HEALTH_PORT", "SHOP_NAME", "SHOP_LIMIT",
        "SHOP_LIVEMODE", "SHOP_DELAY", "SHOP_COUNTRIES", "SHOP_FOLDER",
    }  # fmt: skip
    assert described["SHOP_NAME"] == ("The shop's name.", False)
    assert described["BROKER_URL"][1]
