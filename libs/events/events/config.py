"""Configuration from the environment, read once into a frozen dataclass; a secret NAME may come from NAME_FILE."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from environs import EnvValidationError, FileAwareEnv, validate
from marshmallow import ValidationError

from events.errors import ConfigError

PORT = validate.Range(0, 65535)
NOT_BLANK = validate.Regexp(r".*\S", error="Environment variable not set.")  # compose passes an unset one on as ""
BROKER = validate.Regexp(
    r"amqps?://[^;]+(;amqps?://[^;]+)*$|memory://",
    error="Give amqp://user:password@host:port/vhost; a cluster's nodes separated by ;.",
)
DATABASE = validate.Regexp(
    r"(postgres(ql)?(\+psycopg)?|sqlite)://.+", error="Give postgresql://user:password@host/name."
)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every service is told. `operator_tokens` maps a person's or a tool's name to its bearer token."""

    service: str
    port: int
    broker_url: str = field(repr=False)
    broker_declare: bool = True  # no: `webhooks declare` does it, and this process's user may not
    database_url: str = field(default="", repr=False)
    operator_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    service_token: str = field(default="", repr=False)
    log_level: str = "INFO"
    metrics_port: int = 0  # where a worker answers /healthz, /readyz and /metrics; 0: nowhere


class _Environment(FileAwareEnv):
    """Names a secret's file that cannot be read with everything else that is wrong."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            return super()._get_value(env_key, default)
        except ValueError as error:
            self._errors[env_key].append(str(error))
            return ""


@contextmanager
def reading() -> Iterator[FileAwareEnv]:
    """An environment to read from. Raises `ConfigError` at the end, naming every missing or bad value."""
    env = _Environment(eager=False, strip_whitespace=True)
    yield env
    try:
        env.seal()
    except EnvValidationError as error:
        raise ConfigError(dict(error.error_messages)) from None  # type: ignore[arg-type]


def common(
    env: FileAwareEnv,
    *,
    service: str,
    port: int,
    database: bool = True,
    operators: bool = True,
    service_token: bool = False,
) -> dict[str, Any]:
    """The fields of `Common`.

    `operators`: this service has routes for them; `service_token`: it calls, or is called by, another service.
    """
    return {
        "service": service,
        "port": env.int("PORT", port, validate=PORT),
        "broker_url": env.str("BROKER_URL", validate=[NOT_BLANK, BROKER]),
        "broker_declare": env.bool("BROKER_DECLARE", True),
        "database_url": env.str("DATABASE_URL", validate=[NOT_BLANK, DATABASE]) if database else "",
        "operator_tokens": _tokens(env) if operators else {},
        "service_token": env.str("SERVICE_TOKEN", validate=validate.Length(min=MIN_SECRET)) if service_token else "",
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS)),
        "metrics_port": env.int("METRICS_PORT", 0, validate=PORT),
    }


MIN_SECRET = 16  # characters; a shorter token can be guessed over the network


def _tokens(env: FileAwareEnv) -> dict[str, str]:
    def parse(text: str) -> dict[str, str]:
        pairs = [(name.strip(), token.strip()) for name, _, token in (pair.partition(":") for pair in text.split(","))]
        if any(not name or len(token) < MIN_SECRET for name, token in pairs) or len(dict(pairs)) < len(pairs):
            raise ValidationError(
                f"Give name:token pairs, no name twice, separated by commas, tokens of {MIN_SECRET} characters or more."
            )
        return dict(pairs)

    env.add_parser("operator_tokens", parse)
    tokens: dict[str, str] = env.operator_tokens("OPERATOR_TOKENS")
    return tokens
