"""Configuration from the environment, read once into a frozen dataclass; a secret NAME may come from NAME_FILE."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from environs import EnvValidationError, FileAwareEnv, validate
from marshmallow import ValidationError

from events.errors import ConfigError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every service is told. `operator_tokens` maps a person's or a tool's name to its bearer token."""

    service: str
    port: int
    broker_url: str = field(repr=False)
    database_url: str = field(default="", repr=False)
    operator_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    service_token: str = field(default="", repr=False)
    log_level: str = "INFO"
    metrics_port: int = 0  # where a worker answers /healthz, /readyz and /metrics; 0: nowhere


@contextmanager
def reading() -> Iterator[FileAwareEnv]:
    """An environment to read from. Raises `ConfigError` at the end, naming every missing or bad value."""
    env = FileAwareEnv(eager=False, file_suffix="_FILE")
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
        "port": env.int("PORT", port),
        "broker_url": env.str("BROKER_URL"),
        "database_url": env.str("DATABASE_URL") if database else "",
        "operator_tokens": _tokens(env) if operators else {},
        "service_token": env.str("SERVICE_TOKEN", validate=validate.Length(min=MIN_SECRET)) if service_token else "",
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LOG_LEVELS)),
        "metrics_port": env.int("METRICS_PORT", 0),
    }


MIN_SECRET = 16  # characters; a shorter token can be guessed over the network


def _tokens(env: FileAwareEnv) -> dict[str, str]:
    def check(pairs: Any) -> None:
        bad = [name for name, token in pairs.items() if not name or len(token) < MIN_SECRET]
        if bad or not pairs:
            raise ValidationError(
                f"Give name:token pairs, separated by commas, each token of {MIN_SECRET} characters or more."
            )

    tokens: dict[str, str] = env.dict("OPERATOR_TOKENS", key_value_delimiter=":", delimiter=",", validate=check)
    return tokens
