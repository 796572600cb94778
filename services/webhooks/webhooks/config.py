"""The ingest's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from environs import validate
from events.config import Common, common, reading


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`webhook_secrets`: all that are valid now; two during a roll. `livemode`: which of Stripe's modes this is."""

    webhook_secrets: Sequence[str] = field(repr=False)
    livemode: bool


def load() -> Config:
    with reading() as env:
        return Config(
            **common(env, service="webhooks", port=8002, database=False, operators=False),
            webhook_secrets=env.list("STRIPE_WEBHOOK_SECRETS", validate=validate.Length(min=1)),
            livemode=env.bool("LIVEMODE"),
        )
