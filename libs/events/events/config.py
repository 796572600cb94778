"""Settings: read once from the environment into a frozen dataclass.

A service's settings are the fields of its `Config`. `setting` declares each of them with its variable, description,
default and validation; `load_settings` reads them all. A secret NAME may come from the file that NAME_FILE names.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, get_type_hints

from environs import EnvValidationError, FileAwareEnv, validate
from marshmallow import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from events.errors import ConfigError
from events.web.client_address import parse_networks
from events.web.origins import INVALID_PORT, parse_origins, split_http_url, split_url

PORT = validate.Range(0, 65535)
NOT_BLANK = validate.Regexp(r".*\S", error="Environment variable not set.")  # compose passes an unset variable as ""
DATABASE = re.compile(r"(postgres|postgresql(\+psycopg)?)://.|sqlite:///.")
ENCODE_PASSWORDS = "In a user name or password, write / as %2F, : as %3A, @ as %40 and # as %23."
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
RESERVED_NAMES = ("policy", "stripe")  # recorded as the actor where no operator acted
MIN_SECRET_CHARACTERS = 16  # characters; a shorter token can be guessed over the network

Check = Callable[[Any], Any]
ConfigT = TypeVar("ConfigT", bound="Common")


@dataclass(frozen=True)
class Setting:
    """One environment variable. Without a default, the environment must set it."""

    variable: str
    description: str
    default: Any
    is_secret: bool
    checks: Sequence[Check]
    parse: Callable[[str], Any] | None

    def read(self, env: FileAwareEnv, kind: Any) -> Any:
        """Return the variable's value, converted by `parse` or, without it, to the type `kind`.

        `env` collects the errors of missing and invalid values, and `env.seal` raises all of them.
        """
        default = () if self.default is MISSING else (self.default,)
        if self.parse is not None:
            text = env.str(self.variable, *default, validate=[*self.checks, accepted_by(self.parse)])
            return None if text is None else self.parse(text)
        readers: dict[Any, Callable[..., Any]] = {
            str: env.str,
            int: env.int,
            bool: env.bool,
            timedelta: env.timedelta,
            Sequence[str]: partial(env.list, subcast=str.strip),
        }
        value = readers[kind](self.variable, *default, validate=self.checks)
        return tuple(value) if isinstance(value, list) else value


def setting(
    variable: str,
    description: str,
    *,
    default: Any = MISSING,
    secret: bool = False,
    checks: Sequence[Check] = (),
    parse: Callable[[str], Any] | None = None,
) -> Any:
    """Declare a field of a `Config` that an environment variable sets.

    The field's type decides how the text is read: str, int, bool, timedelta (in seconds) or Sequence[str] (separated
    by commas). Another type needs `parse`, which raises `ValueError` with a message for an invalid text; the
    default is then a text, too. `checks` are marshmallow validators. A secret is left out of the configuration's repr.
    """
    declared = Setting(variable, description, default, secret, checks, parse)
    value = default if parse is None or default is MISSING else parse(default)
    return field(default=value, repr=not secret, metadata={"setting": declared})


def validate_url(value: str) -> None:
    """Raise `ValidationError` unless the text is an http or https URL without user name and password."""
    accepted_by(split_http_url)(value)


def accepted_by(parse: Callable[[str], object]) -> Check:
    """Return a check that accepts a text if `parse` raises no `ValueError` for it."""

    def check(text: str) -> None:
        try:
            parse(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return check


def _check_broker_url(text: str) -> None:
    """Raise `ValueError`, without the URL in its text, unless each node of the broker has a host and a valid port."""
    if text.startswith("memory://"):
        return
    try:
        nodes = [split_url(node) for node in text.split(";")]
    except ValueError as error:
        raise ValueError(f"{error} {ENCODE_PASSWORDS}") from error
    for node in nodes:
        if node.scheme not in ("amqp", "amqps") or not node.hostname:
            raise ValueError("Use amqp://user:password@host:port/vhost. Separate a cluster's nodes by ;.")


def _check_database_url(text: str) -> None:
    """Raise `ValueError`, without the URL in its text, if the database is not supported or the port is invalid."""
    if not DATABASE.match(text):
        raise ValueError("Use postgresql://user:password@host/name.")
    try:
        port = make_url(text).port
    except (ArgumentError, ValueError):
        port = 0
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{INVALID_PORT} {ENCODE_PASSWORDS}")


@dataclass(frozen=True, kw_only=True)
class Common:
    """The settings of every service. A service's `Config` adds its own.

    Functions such as `database_url_setting` declare the settings that only some services have.
    """

    service: str
    port: int
    broker_url: str = setting(
        "BROKER_URL",
        "`amqp://user:password@host:5672/%2F` or `amqps://…`. Separate the nodes of a cluster by `;`.",
        secret=True,
        checks=[NOT_BLANK, accepted_by(_check_broker_url)],
    )
    declare_topology: bool = setting(
        "DECLARE_TOPOLOGY",
        "Declare the exchanges, queues and bindings at start. `false`: only `webhooks declare-topology` declares them.",
        default=True,
    )
    database_url: str = field(default="", repr=False)
    operator_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    service_token: str = field(default="", repr=False)
    log_level: str = setting(
        "LOG_LEVEL",
        "`DEBUG` (logs every request), `INFO`, `WARNING` or `ERROR`. Logs are JSON on standard error.",
        default="INFO",
        checks=[validate.OneOf(LOG_LEVELS)],
    )
    health_port: int = setting(
        "HEALTH_PORT",
        "The port of `/healthz`, `/readyz` and `/metrics`, on threads that do nothing else. 0: a web process has them"
        " only on `PORT`, and a worker has none.",
        default=0,
        checks=[PORT],
    )


def port_setting(default: int) -> Any:
    """Declare `port`, with the service's default."""
    return setting("PORT", "The port of the web process. It listens on all interfaces.", default=default, checks=[PORT])


def database_url_setting() -> Any:
    """Declare `database_url`, for a service with a database."""
    return setting(
        "DATABASE_URL",
        "`postgresql://user:password@host/name`, or `sqlite:///file` to try the service.",
        secret=True,
        checks=[NOT_BLANK, accepted_by(_check_database_url)],
    )


def operator_tokens_setting() -> Any:
    """Declare `operator_tokens`, for a service with operator routes. It maps each token's name to the token."""
    return setting(
        "OPERATOR_TOKENS",
        f"For operator routes: `name:token,name:token`. Each token has at least {MIN_SECRET_CHARACTERS} characters.",
        secret=True,
        parse=_parse_tokens,
    )


def service_token_setting() -> Any:
    """Declare `service_token`, for a service that calls another one or that another one calls."""
    return setting(
        "SERVICE_TOKEN",
        f"The token that checkout sends to inventory. At least {MIN_SECRET_CHARACTERS} characters, the same in both.",
        secret=True,
        checks=[validate.Length(min=MIN_SECRET_CHARACTERS)],
    )


def allowed_origins_setting(description: str) -> Any:
    """Declare `allowed_origins`, for a service that browsers call."""
    return setting(
        "ALLOWED_ORIGINS", f"{description} `https://a.example,https://b.example`.", default="", parse=parse_origins
    )


def trusted_proxies_setting() -> Any:
    """Declare `trusted_proxies`, for a service with limits by client address."""
    return setting(
        "TRUSTED_PROXIES",
        "Networks of the proxies in front of the service. Only they can name the client's address, by"
        " `X-Forwarded-For`. Empty: the address of the connection counts.",
        default="127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1/128,fc00::/7",
        parse=parse_networks,
    )


def _parse_tokens(text: str) -> dict[str, str]:
    pairs = [(name.strip(), token.strip()) for name, _, token in (pair.partition(":") for pair in text.split(","))]
    if any(not name or len(token) < MIN_SECRET_CHARACTERS for name, token in pairs) or len(dict(pairs)) < len(pairs):
        raise ValueError(
            "Use name:token pairs separated by commas. Each name must be unique,"
            f" each token at least {MIN_SECRET_CHARACTERS} characters long."
        )
    if reserved := [name for name, _ in pairs if name.casefold() in RESERVED_NAMES]:
        raise ValueError(
            f"Rename {', '.join(reserved)}: the names policy and stripe mark actions that no operator took."
        )
    return dict(pairs)


def load_settings(config: type[ConfigT]) -> ConfigT:
    """Return a configuration that is read from the environment.

    Raises `ConfigError`, which names every missing or invalid setting.
    """
    kinds = get_type_hints(config)
    with read_environment() as env:
        values = {name: declared.read(env, kinds[name]) for name, declared in settings(config).items()}
    return config(**values)


def settings(config: type[Common]) -> dict[str, Setting]:
    """Return a configuration's settings by the names of their fields."""
    return {each.name: each.metadata["setting"] for each in fields(config) if "setting" in each.metadata}


def forget_secrets(config: type[Common]) -> None:
    """Remove a configuration's secrets from this process's environment. Read the configuration first."""
    for declared in settings(config).values():
        if declared.is_secret:
            os.environ.pop(declared.variable, None)


class _Environment(FileAwareEnv):
    """An environment that reports a secret's unreadable file together with all other errors."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            return super()._get_value(env_key, default)
        except ValueError as error:
            self._errors[env_key].append(str(error))
            return ""


@contextmanager
def read_environment() -> Iterator[FileAwareEnv]:
    """Provide an environment to read. Raises `ConfigError` after the block if it read missing or invalid settings."""
    env = _Environment(eager=False, strip_whitespace=True)
    yield env
    try:
        env.seal()
    except EnvValidationError as error:
        raise ConfigError(dict(error.error_messages)) from None  # type: ignore[arg-type]
