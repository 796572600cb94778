"""What the orders service is told by its environment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from environs import validate
from events import stripe_api
from events.config import Common, common_settings, read_environment
from events.messaging.contracts import REVIEW_REASONS

REASONS = validate.ContainsOnly(REVIEW_REASONS, error=f"Give any of {', '.join(REVIEW_REASONS)}.")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`allowed_origins` may ask from a browser how an order stands.

    `review_auto_refund`: reasons of a review for which the money goes back without asking a person.
    """

    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = stripe_api.API
    allowed_origins: Sequence[str] = ()
    review_auto_refund: Sequence[str] = ()


def load() -> Config:
    """Raises `ConfigError` naming everything that is missing or bad."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="orders", port=8003),
            stripe_api_key=env.str("STRIPE_API_KEY"),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [])),
            review_auto_refund=tuple(env.list("REVIEW_AUTO_REFUND", [], validate=REASONS) or ()),  # None: a bad one
        )
