"""The settings of the orders service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from environs import validate
from events import stripe_api
from events.config import (
    Common,
    allowed_origins_setting,
    database_url_setting,
    load_settings,
    operator_tokens_setting,
    port_setting,
    setting,
)
from events.messaging.contracts.reviews import ReviewReason

REASONS = validate.ContainsOnly([*ReviewReason], error=f"Use any of {', '.join(ReviewReason)}, separated by commas.")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings, read from the environment."""

    service: str = "orders"
    port: int = port_setting(8003)
    database_url: str = database_url_setting()
    operator_tokens: Mapping[str, str] = operator_tokens_setting()
    stripe_api_key: str = setting("STRIPE_API_KEY", "Stripe's secret key.", secret=True)
    stripe_api_base: str = stripe_api.api_base_setting()
    livemode: bool | None = stripe_api.key_mode_setting()
    allowed_origins: Sequence[str] = allowed_origins_setting(
        "Origins from which browsers may read an order by its session, separated by commas:"
    )
    review_auto_refund: Sequence[str] = setting(
        "REVIEW_AUTO_REFUND",
        "Reasons for reviews, separated by commas. Paid orders with such a review are refunded without an operator. An"
        " order with several open reviews is refunded only if all their reasons are listed.",
        default=(),
        checks=[REASONS],
    )
    radar_holds: bool = setting(
        "RADAR_HOLDS",
        "Hold an order after an early fraud warning, or if Stripe Radar reviews its payment, until an operator decides"
        " or that review approves the payment.",
        default=True,
    )


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    config = load_settings(Config)
    stripe_api.check_key_mode(config.stripe_api_key, livemode=config.livemode)
    return config
