"""What the inventory service is told by its environment."""

from collections.abc import Sequence
from dataclasses import dataclass

from events.config import Common, common, reading


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`allowed_origins` may read the stock from a browser."""

    allowed_origins: Sequence[str] = ()


def load() -> Config:
    """Raises `ConfigError` naming everything that is missing or bad."""
    with reading() as env:
        return Config(
            **common(env, service="inventory", port=8004, service_token=True),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [])),
        )
