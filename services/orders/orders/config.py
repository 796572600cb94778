"""The settings of the orders service."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from environs import validate
from events import stripe_api
from events.config import Common, common_settings, read_environment
from events.messaging.contracts import ReviewReason

REASONS = validate.ContainsOnly([*ReviewReason], error=f"Use any of {', '.join(ReviewReason)}, separated by commas.")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings. Browsers may read orders by session from `allowed_origins`.

    Reviews with a reason in `review_auto_refund` are resolved with a refund, without an operator.
    """

    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = stripe_api.API
    allowed_origins: Sequence[str] = ()
    review_auto_refund: Sequence[str] = ()


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="orders", port=8003),
            stripe_api_key=env.str("STRIPE_API_KEY"),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [])),
            review_auto_refund=tuple(env.list("REVIEW_AUTO_REFUND", [], validate=REASONS) or ()),  # None if invalid
        )
