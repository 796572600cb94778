"""The ingest's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from environs import validate
from events import stripe_api
from events.config import Common, common_settings, read_environment


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`webhook_secrets`: all that are valid now; two during a roll. `livemode`: which of Stripe's modes this is.

    Only backfill calls Stripe: the web process does without `stripe_api_key`, and better so.
    """

    webhook_secrets: Sequence[str] = field(repr=False)
    livemode: bool
    stripe_api_key: str = field(default="", repr=False)
    stripe_api_base: str = stripe_api.API


def load() -> Config:
    with read_environment() as env:
        return Config(
            **common_settings(env, service="webhooks", port=8002, database=False, operators=False),
            webhook_secrets=env.list("STRIPE_WEBHOOK_SECRETS", validate=validate.Length(min=1)),
            livemode=env.bool("LIVEMODE"),
            stripe_api_key=env.str("STRIPE_API_KEY", ""),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API),
        )
