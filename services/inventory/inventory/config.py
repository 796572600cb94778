"""What the inventory service is told by its environment."""

from collections.abc import Sequence
from dataclasses import dataclass

from environs import validate
from events.config import Common, common_settings, read_environment


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`allowed_origins` may read the stock from a browser.

    Staff are told of a sku of which `low_stock_threshold` or fewer are available; 0: never.
    """

    allowed_origins: Sequence[str] = ()
    low_stock_threshold: int = 0


def load() -> Config:
    """Raises `ConfigError` naming everything that is missing or bad."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="inventory", port=8004, service_token=True),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [])),
            low_stock_threshold=env.int("LOW_STOCK_THRESHOLD", 0, validate=validate.Range(min=0)),
        )
