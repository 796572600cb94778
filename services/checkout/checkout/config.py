"""The settings of the checkout service."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from environs import validate
from events import stripe_api
from events.config import Common, common_settings, read_environment
from events.money import SUPPORTED
from marshmallow import ValidationError

COUNTRY = re.compile("[A-Z]{2}")
INVALID_CURRENCY = "Use a currency that Stripe supports, in lower case."
STRIPE_MAX_LINES = 100  # line items of one session
STRIPE_MAX_SESSION_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings. `shop_url` is the storefront.

    Browsers may call from the origins of `shop_url` and `allowed_origins`, and Stripe's page may redirect to them.
    A cart has at most `max_lines` lines and `max_quantity` pieces per line.

    The fields from `allow_promotion_codes` on configure Stripe's page. It asks for a shipping address in one of
    `shipping_countries` (ISO 3166, upper case). If that list is empty, it asks for none. `billing_address` is
    `required`, or `auto`: only if the payment method needs it.
    """

    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = stripe_api.API
    inventory_url: str
    shop_url: str
    allowed_origins: Sequence[str] = ()
    automatic_tax: bool = False
    checkout_session_minutes: int = 30
    reservation_grace_minutes: int = 60
    default_currency: str = "eur"
    max_quantity: int = 20
    max_lines: int = STRIPE_MAX_LINES
    allow_promotion_codes: bool = False
    shipping_countries: Sequence[str] = ()
    collect_phone: bool = False
    billing_address: str = "auto"
    require_terms_of_service: bool = False
    consent_promotions: bool = False

    @property
    def origins(self) -> frozenset[str]:
        """The origins of the shop's own sites, as `scheme://host[:port]` in lower case."""
        return frozenset(origin(url) for url in (self.shop_url, *self.allowed_origins))


def origin(url: str) -> str:
    """Return the origin of a URL, in lower case."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="checkout", port=8001, service_token=True),
            stripe_api_key=env.str("STRIPE_API_KEY"),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API, validate=_validate_url),
            inventory_url=env.str("INVENTORY_URL", validate=_validate_url),
            shop_url=env.str("SHOP_URL", validate=_validate_url),
            allowed_origins=tuple(
                env.list("ALLOWED_ORIGINS", [], validate=_validate_urls) or ()
            ),  # environs returns None for an invalid list
            automatic_tax=env.bool("AUTOMATIC_TAX", False),
            checkout_session_minutes=env.int(
                "CHECKOUT_SESSION_MINUTES", 30, validate=validate.Range(min=30, max=STRIPE_MAX_SESSION_MINUTES)
            ),
            reservation_grace_minutes=env.int("RESERVATION_GRACE_MINUTES", 60, validate=validate.Range(min=0)),
            default_currency=env.str(
                "DEFAULT_CURRENCY", "eur", validate=validate.OneOf(SUPPORTED, error=INVALID_CURRENCY)
            ),
            max_quantity=env.int("MAX_QUANTITY", 20, validate=validate.Range(min=1)),
            max_lines=env.int("MAX_LINES", STRIPE_MAX_LINES, validate=validate.Range(min=1, max=STRIPE_MAX_LINES)),
            allow_promotion_codes=env.bool("ALLOW_PROMOTION_CODES", False),
            shipping_countries=tuple(
                env.list("SHIPPING_COUNTRIES", [], subcast=str.strip, validate=_validate_countries) or ()
            ),
            collect_phone=env.bool("COLLECT_PHONE", False),
            billing_address=env.str("BILLING_ADDRESS", "auto", validate=validate.OneOf(("auto", "required"))),
            require_terms_of_service=env.bool("REQUIRE_TERMS_OF_SERVICE", False),
            consent_promotions=env.bool("CONSENT_PROMOTIONS", False),
        )


def _validate_countries(values: Sequence[str]) -> None:
    if not all(COUNTRY.fullmatch(value) for value in values):
        raise ValidationError("Use ISO 3166 codes in upper case, separated by commas: DE,AT.")


def _validate_url(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValidationError("Use a URL such as https://shop.example.")


def _validate_urls(values: Sequence[str]) -> None:
    for value in values:
        _validate_url(value)
