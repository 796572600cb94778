"""The settings of the ingest."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from environs import validate
from events import stripe_api
from events.config import Common, common_settings, read_environment


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings. `webhook_secrets` are all valid secrets: two while a secret is being replaced.

    `livemode` is the mode of Stripe to which this installation belongs. Only backfill calls Stripe, so the web process
    needs no `stripe_api_key`, and is safer without one.
    """

    webhook_secrets: Sequence[str] = field(repr=False)
    livemode: bool
    stripe_api_key: str = field(default="", repr=False)
    stripe_api_base: str = stripe_api.API


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="webhooks", port=8002, database=False, operators=False),
            webhook_secrets=env.list("STRIPE_WEBHOOK_SECRETS", validate=validate.Length(min=1)),
            livemode=env.bool("LIVEMODE"),
            stripe_api_key=env.str("STRIPE_API_KEY", ""),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API),
        )
