"""The settings of the checkout service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from environs import validate
from events import stripe_api
from events.config import (
    Common,
    accepted_by,
    allowed_origins_setting,
    database_url_setting,
    load_settings,
    operator_tokens_setting,
    port_setting,
    service_token_setting,
    setting,
    trusted_proxies_setting,
    validate_url,
)
from events.errors import ConfigError
from events.messaging.session_payment import PENDING_HOLD_TIME
from events.money import SUPPORTED
from events.web.client_address import Network
from events.web.origins import url_origin
from marshmallow import ValidationError

from checkout.countries import SHIPPING_COUNTRIES

INVALID_CURRENCY = "Use a currency that Stripe supports, in lower case."
STRIPE_MAX_LINES = 100  # line items of one session
STRIPE_MAX_SESSION_MINUTES = 24 * 60


def _validate_countries(values: Sequence[str]) -> None:
    if unknown := sorted(set(values) - SHIPPING_COUNTRIES):
        raise ValidationError(
            f"Stripe's page cannot ask for addresses in {', '.join(unknown)}."
            " Use ISO 3166 codes in upper case, separated by commas: DE,AT,GB."
        )


def _validate_optional_url(value: str) -> None:
    if value:
        validate_url(value)


def _limit_setting(variable: str, description: str, *, default: int) -> Any:
    return setting(variable, f"{description} 0: no limit.", default=default, checks=[validate.Range(min=0)])


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings of the checkout service.

    The fields from `allow_promotion_codes` to `allow_recovery` configure Stripe's page.
    """

    service: str = "checkout"
    port: int = port_setting(8001)
    database_url: str = database_url_setting()
    operator_tokens: Mapping[str, str] = operator_tokens_setting()
    service_token: str = service_token_setting()
    stripe_api_key: str = setting("STRIPE_API_KEY", "Stripe's secret key.", secret=True)
    stripe_api_base: str = stripe_api.api_base_setting()
    livemode: bool | None = stripe_api.key_mode_setting()
    inventory_url: str = setting(
        "INVENTORY_URL", "The URL at which checkout reaches the inventory service.", checks=[validate_url]
    )
    shop_url: str = setting(
        "SHOP_URL",
        "The shop's frontend. Browsers may call from its origin, and Stripe's page may redirect to it.",
        checks=[accepted_by(url_origin)],
    )
    allowed_origins: Sequence[str] = allowed_origins_setting(
        "More origins that browsers may call from and Stripe's page may redirect to, separated by commas:"
    )
    automatic_tax: bool = setting(
        "AUTOMATIC_TAX",
        "Let Stripe Tax calculate taxes. `false`: the products' own tax rates apply, if they have any.",
        default=False,
    )
    checkout_session_minutes: int = setting(
        "CHECKOUT_SESSION_MINUTES",
        f"Minutes that a customer has for paying: 30 to {STRIPE_MAX_SESSION_MINUTES}. Less than 33 counts as 33, and"
        f" {STRIPE_MAX_SESSION_MINUTES} as {STRIPE_MAX_SESSION_MINUTES - 1}: a margin to Stripe's own limits.",
        default=30,
        checks=[validate.Range(min=30, max=STRIPE_MAX_SESSION_MINUTES)],
    )
    reservation_grace_minutes: int = setting(
        "RESERVATION_GRACE_MINUTES",
        "Minutes that the stock stays reserved after the session's end, for late webhooks.",
        default=60,
        checks=[validate.Range(min=0)],
    )
    default_currency: str = setting(
        "DEFAULT_CURRENCY",
        "The currency of carts and of the shop's lists, if the request names none.",
        default="eur",
        checks=[validate.OneOf(SUPPORTED, error=INVALID_CURRENCY)],
    )
    max_quantity: int = setting(
        "MAX_QUANTITY", "The maximum quantity of one line.", default=20, checks=[validate.Range(min=1)]
    )
    max_lines: int = setting(
        "MAX_LINES",
        "The maximum number of lines in a cart.",
        default=STRIPE_MAX_LINES,
        checks=[validate.Range(min=1, max=STRIPE_MAX_LINES)],
    )
    max_open_checkouts_per_address: int = _limit_setting(
        "MAX_OPEN_CHECKOUTS_PER_ADDRESS",
        "Unpaid checkouts that one IP address can have at a time. An IPv6 network of 64 bits counts as one address.",
        default=20,
    )
    max_open_pieces_per_address: int = _limit_setting(
        "MAX_OPEN_PIECES_PER_ADDRESS",
        "Pieces that the unpaid checkouts of one IP address can hold together.",
        default=100,
    )
    max_open_checkouts_per_email: int = _limit_setting(
        "MAX_OPEN_CHECKOUTS_PER_EMAIL", "Unpaid checkouts that one e-mail address can have at a time.", default=5
    )
    max_open_pieces_per_email: int = _limit_setting(
        "MAX_OPEN_PIECES_PER_EMAIL",
        "Pieces that the unpaid checkouts of one e-mail address can hold together.",
        default=50,
    )
    trusted_proxies: Sequence[Network] = trusted_proxies_setting()
    bot_check_url: str = setting(
        "BOT_CHECK_URL",
        "Where to verify the token in the header `X-Bot-Check` of a new checkout: `siteverify` of Turnstile, hCaptcha"
        " or reCAPTCHA. Empty: no bot check.",
        default="",
        checks=[_validate_optional_url],
    )
    bot_check_secret: str = setting(
        "BOT_CHECK_SECRET", "The secret that BOT_CHECK_URL requires.", default="", secret=True
    )
    allow_promotion_codes: bool = setting(
        "ALLOW_PROMOTION_CODES",
        "Let customers enter Stripe's promotion codes, except for carts with a discount of the shop.",
        default=False,
    )
    shipping_countries: Sequence[str] = setting(
        "SHIPPING_COUNTRIES",
        "Ask for a shipping address in one of these countries: `DE,AT`. Shipping options with countries use their own"
        " instead. Empty: ask only if the shop has shipping options, for any country that they allow.",
        default=(),
        checks=[_validate_countries],
    )
    collect_phone: bool = setting("COLLECT_PHONE", "Ask for a phone number.", default=False)
    billing_address: str = setting(
        "BILLING_ADDRESS",
        "`required` asks every customer for a billing address; `auto` only if the payment needs one.",
        default="auto",
        checks=[validate.OneOf(("auto", "required"))],
    )
    require_terms_of_service: bool = setting(
        "REQUIRE_TERMS_OF_SERVICE",
        "Require consent to the terms of service that are set in Stripe's dashboard.",
        default=False,
    )
    consent_promotions: bool = setting(
        "CONSENT_PROMOTIONS",
        "Ask for consent to promotional e-mails. Stripe's page asks only customers in the US, for shops in the US.",
        default=False,
    )
    allow_recovery: bool = setting(
        "ALLOW_RECOVERY",
        "Let Stripe make a link to recover an expired cart. It works for 30 days, at the prices of the cart.",
        default=True,
    )
    delayed_payment_days: int = setting(
        "DELAYED_PAYMENT_DAYS",
        "The maximum number of days that the stock stays reserved while a delayed payment is under way."
        f" Less than {PENDING_HOLD_TIME.days} counts as {PENDING_HOLD_TIME.days}: inventory itself keeps"
        " the stock that long.",
        default=65,  # vouchers live up to 60 days
        checks=[validate.Range(min=1)],
    )

    @property
    def origins(self) -> frozenset[str]:
        """The origins of SHOP_URL and of ALLOWED_ORIGINS, as `scheme://host[:port]` in lower case."""
        return frozenset((url_origin(self.shop_url), *self.allowed_origins))


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    config = load_settings(Config)
    stripe_api.check_key_mode(config.stripe_api_key, livemode=config.livemode)
    if bool(config.bot_check_url) != bool(config.bot_check_secret):
        raise ConfigError({"BOT_CHECK_SECRET": ["Set both BOT_CHECK_URL and BOT_CHECK_SECRET, or neither."]})
    return config
