"""What the checkout service is told by its environment."""

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
CURRENCY = "Give a currency that Stripe takes, in small letters."
MOST_LINES = 100  # line items that Stripe takes in one session
DAY = 24 * 60  # minutes; Stripe ends every session after a day


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """`shop_url` is the storefront; its origin and `allowed_origins` may call and be redirected to.

    `max_quantity` pieces of a sku and `max_lines` skus are what one cart may have. Stripe's page asks for a shipping
    address within `shipping_countries` (ISO 3166, upper case; none: it does not ask), a phone number, a billing address
    always (`required`) or where it needs one (`auto`), and consent to the terms of service and to promotional mail.
    """

    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = stripe_api.API
    inventory_url: str
    shop_url: str
    allowed_origins: Sequence[str] = ()
    automatic_tax: bool = False
    session_minutes: int = 30
    reservation_grace_minutes: int = 60
    default_currency: str = "eur"
    max_quantity: int = 20
    max_lines: int = MOST_LINES
    promotion_codes: bool = False
    shipping_countries: Sequence[str] = ()
    collect_phone: bool = False
    billing_address: str = "auto"
    terms_of_service: bool = False
    consent_promotions: bool = False

    @property
    def origins(self) -> frozenset[str]:
        """`scheme://host[:port]` of every site that is ours, lower-case."""
        return frozenset(origin(url) for url in (self.shop_url, *self.allowed_origins))


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def load() -> Config:
    """Raises `ConfigError` naming everything that is missing or bad."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="checkout", port=8001, service_token=True),
            stripe_api_key=env.str("STRIPE_API_KEY"),
            stripe_api_base=env.str("STRIPE_API_BASE", stripe_api.API, validate=_web_address),
            inventory_url=env.str("INVENTORY_URL", validate=_web_address),
            shop_url=env.str("SHOP_URL", validate=_web_address),
            allowed_origins=tuple(env.list("ALLOWED_ORIGINS", [], validate=_web_addresses) or ()),  # None: a bad list
            automatic_tax=env.bool("AUTOMATIC_TAX", False),
            session_minutes=env.int("CHECKOUT_SESSION_MINUTES", 30, validate=validate.Range(min=30, max=DAY)),
            reservation_grace_minutes=env.int("RESERVATION_GRACE_MINUTES", 60, validate=validate.Range(min=0)),
            default_currency=env.str("DEFAULT_CURRENCY", "eur", validate=validate.OneOf(SUPPORTED, error=CURRENCY)),
            max_quantity=env.int("MAX_QUANTITY", 20, validate=validate.Range(min=1)),
            max_lines=env.int("MAX_LINES", MOST_LINES, validate=validate.Range(min=1, max=MOST_LINES)),
            promotion_codes=env.bool("ALLOW_PROMOTION_CODES", False),
            shipping_countries=tuple(env.list("SHIPPING_COUNTRIES", [], subcast=str.strip, validate=_countries) or ()),
            collect_phone=env.bool("COLLECT_PHONE", False),
            billing_address=env.str("BILLING_ADDRESS", "auto", validate=validate.OneOf(("auto", "required"))),
            terms_of_service=env.bool("REQUIRE_TERMS_OF_SERVICE", False),
            consent_promotions=env.bool("CONSENT_PROMOTIONS", False),
        )


def _countries(values: Sequence[str]) -> None:
    if not all(COUNTRY.fullmatch(value) for value in values):
        raise ValidationError("Give ISO 3166 codes in capitals, separated by commas: DE,AT.")


def _web_address(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValidationError("Give an address such as https://shop.example.")


def _web_addresses(values: Sequence[str]) -> None:
    for value in values:
        _web_address(value)
