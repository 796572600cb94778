"""The settings of the inventory service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from environs import validate
from events.config import (
    Common,
    allowed_origins_setting,
    database_url_setting,
    load_settings,
    operator_tokens_setting,
    port_setting,
    service_token_setting,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings of the inventory service, read once from the environment."""

    service: str = "inventory"
    port: int = port_setting(8004)
    database_url: str = database_url_setting()
    operator_tokens: Mapping[str, str] = operator_tokens_setting()
    service_token: str = service_token_setting()
    allowed_origins: Sequence[str] = allowed_origins_setting(
        "Origins from which browsers may read the availability, separated by commas:"
    )
    max_reserved_percent: int = setting(
        "MAX_RESERVED_PERCENT",
        "Percent of a sku's stock on hand up to which new checkouts can reserve it, rounded up to a whole piece."
        " The rest serves payments that arrive late.",
        default=90,
        checks=[validate.Range(1, 100)],
    )
    low_stock_threshold: int = setting(
        "LOW_STOCK_THRESHOLD",
        "Notify staff when no more than this many pieces of a sku are available. 0 turns it off.",
        default=0,
        checks=[validate.Range(min=0)],
    )
    expiring_notice_hours: int = setting(
        "EXPIRING_NOTICE_HOURS",
        "Notify staff this many hours before the stock of a payment that is still under way is for sale again.",
        default=48,
        checks=[validate.Range(min=1)],
    )


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    return load_settings(Config)
