"""The orders service's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from events.config import Common, common, reading


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`allowed_origins`: where the shop's pages come from that may ask for an order's state."""

    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = "https://api.stripe.com"
    allowed_origins: Sequence[str] = ()


def load() -> Config:
    with reading() as env:
        return Config(
            **common(env, service="orders", port=8003),
            stripe_api_key=env.str("STRIPE_API_KEY"),
            stripe_api_base=env.str("STRIPE_API_BASE", "https://api.stripe.com"),
            allowed_origins=env.list("ALLOWED_ORIGINS", []),
        )
