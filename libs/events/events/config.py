"""Configuration from the environment, read once into a frozen dataclass. A secret NAME may come from NAME_FILE."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from environs import EnvValidationError, FileAwareEnv, validate
from marshmallow import ValidationError

from events.errors import ConfigError

PORT = validate.Range(0, 65535)
NOT_BLANK = validate.Regexp(r".*\S", error="Environment variable not set.")  # compose passes an unset variable as ""
BROKER = validate.Regexp(
    r"amqps?://[^;]+(;amqps?://[^;]+)*$|memory://",
    error="Use amqp://user:password@host:port/vhost. Separate a cluster's nodes by ;.",
)
DATABASE = validate.Regexp(
    r"(postgres(ql)?(\+psycopg)?|sqlite)://.+", error="Use postgresql://user:password@host/name."
)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class Common:
    """The settings of every service. `operator_tokens` maps the name of a person or a tool to its bearer token."""

    service: str
    port: int
    broker_url: str = field(repr=False)
    declare_topology: bool = True  # False where `webhooks declare-topology` does it and this user must not
    database_url: str = field(default="", repr=False)
    operator_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    service_token: str = field(default="", repr=False)
    log_level: str = "INFO"
    health_port: int = 0  # a worker serves /healthz, /readyz and /metrics on it; 0: it serves none


class _Environment(FileAwareEnv):
    """Reports a secret's unreadable file together with all other errors."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            return super()._get_value(env_key, default)
        except ValueError as error:
            self._errors[env_key].append(str(error))
            return ""


@contextmanager
def read_environment() -> Iterator[FileAwareEnv]:
    """Provide an environment to read from. Raises `ConfigError` at the end, with every missing or invalid value."""
    env = _Environment(eager=False, strip_whitespace=True)
    yield env
    try:
        env.seal()
    except EnvValidationError as error:
        raise ConfigError(dict(error.error_messages)) from None  # type: ignore[arg-type]


def common_settings(
    env: FileAwareEnv,
    *,
    service: str,
    port: int,
    database: bool = True,
    operators: bool = True,
    service_token: bool = False,
) -> dict[str, Any]:
    """Return the fields of `Common`.

    `operators`: the service has operator routes. `service_token`: it calls another service, or is called by one.
    """
    return {
        "service": service,
        "port": env.int("PORT", port, validate=PORT),
        "broker_url": env.str("BROKER_URL", validate=[NOT_BLANK, BROKER]),
        "declare_topology": env.bool("DECLARE_TOPOLOGY", True),
        "database_url": env.str("DATABASE_URL", validate=[NOT_BLANK, DATABASE]) if database else "",
        "operator_tokens": _tokens(env) if operators else {},
        "service_token": env.str("SERVICE_TOKEN", validate=validate.Length(min=MIN_SECRET_LENGTH))
        if service_token
        else "",
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS)),
        "health_port": env.int("HEALTH_PORT", 0, validate=PORT),
    }


MIN_SECRET_LENGTH = 16  # characters; a shorter token can be guessed over the network


def _tokens(env: FileAwareEnv) -> dict[str, str]:
    def parse(text: str) -> dict[str, str]:
        pairs = [(name.strip(), token.strip()) for name, _, token in (pair.partition(":") for pair in text.split(","))]
        if any(not name or len(token) < MIN_SECRET_LENGTH for name, token in pairs) or len(dict(pairs)) < len(pairs):
            raise ValidationError(
                "Use name:token pairs separated by commas. Each name must be unique,"
                f" each token at least {MIN_SECRET_LENGTH} characters long."
            )
        return dict(pairs)

    env.add_parser("operator_tokens", parse)
    tokens: dict[str, str] = env.operator_tokens("OPERATOR_TOKENS")
    return tokens
