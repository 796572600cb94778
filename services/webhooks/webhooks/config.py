"""The settings of the ingest."""

from collections.abc import Sequence
from dataclasses import dataclass

from environs import validate
from events import stripe_api
from events.config import Common, load_settings, port_setting, setting, trusted_proxies_setting
from events.web.client_address import Network


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings. The ingest has no database, no operator routes and calls no other service."""

    service: str = "webhooks"
    port: int = port_setting(8002)
    webhook_secrets: Sequence[str] = setting(
        "STRIPE_WEBHOOK_SECRETS",
        "The endpoint's signing secrets, `whsec_…`, separated by commas. Two during a rotation.",
        secret=True,
        checks=[validate.Length(min=1)],
    )
    livemode: bool = stripe_api.livemode_setting()
    stripe_api_key: str = setting(
        "STRIPE_API_KEY",
        "Stripe's secret key. Only `backfill` needs it: do not set it for the web process.",
        default="",
        secret=True,
    )
    stripe_api_base: str = stripe_api.api_base_setting()
    trusted_proxies: Sequence[Network] = trusted_proxies_setting()


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    config = load_settings(Config)
    stripe_api.check_key_mode(config.stripe_api_key, livemode=config.livemode)
    return config
