"""The inventory's settings, from the environment."""

from collections.abc import Sequence
from dataclasses import dataclass

from environs import validate
from events.config import Common, common_settings, read_environment


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Pages from `allowed_origins` may read the availability from a browser.

    Staff are informed when a sku has `low_stock_threshold` available pieces or fewer; 0 means never.
    """

    allowed_origins: Sequence[str] = ()
    low_stock_threshold: int = 0


def load() -> Config:
    """Read the settings. Raises `ConfigError` with all missing and invalid ones."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="inventory", port=8004, service_token=True),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [])),
            low_stock_threshold=env.int("LOW_STOCK_THRESHOLD", 0, validate=validate.Range(min=0)),
        )
