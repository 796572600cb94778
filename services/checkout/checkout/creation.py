"""The first phase of a checkout: the customer's request, priced and stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.database.transaction import insert_once
from events.messaging.event import new_id
from events.web.idempotency import fingerprint
from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout import discounts, limits, models, pricing, redirects
from checkout.config import Config
from checkout.countries import SHIPPING_COUNTRIES
from checkout.errors import InvalidCartError, KeyReusedError
from checkout.models import Checkout
from checkout.pricing import Item, Quote

RESUME_WINDOW = timedelta(minutes=2)  # a repeated request comes within seconds; longer would eat into the margin
STRIPE_MARGIN = RESUME_WINDOW + timedelta(minutes=1)  # Stripe counts its minimum from the last attempt's arrival
MIN_SESSION_TIME = timedelta(minutes=30) + STRIPE_MARGIN  # Stripe refuses sessions that end within 30 minutes
MAX_SESSION_TIME = timedelta(hours=24) - timedelta(minutes=1)  # and those over 24 hours; clocks differ by seconds


COUPON_GRACE = timedelta(hours=1)  # clocks differ, and a customer may be paying at the session's end


@dataclass(frozen=True, kw_only=True)
class CheckoutRequest:
    """A validated request for a checkout.

    None means the shop's default for `currency` and the URLs, and no value for every other field.
    """

    items: Sequence[Item]
    currency: str | None = None
    customer_email: str | None = None
    discount_code: str | None = None
    shipping_option: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    locale: str | None = None


def store_checkout(
    session: Session,
    config: Config,
    request: CheckoutRequest,
    key: str | None,
    now: datetime,
    network: str | None = None,
) -> Checkout:
    """Price the request, store it as a new checkout and return the checkout. For a known key, return the stored one.

    `network` is the client's IP address or IPv6 network. Raises `KeyReusedError` if the key belongs to a different
    request, and the errors of `limits.check`, `pricing.quote` and `discounts.hold_use`.
    """
    client_limits = limits.client_limits(config, network, request.customer_email)
    limits.lock(session, client_limits)  # first: a concurrent repeat of this request must find its checkout
    if stored := find_stored(session, request, key):
        return stored
    _check_cart(config, request)
    pieces = sum(item.quantity for item in request.items)
    limits.check(session, client_limits, pieces)
    values = _priced_row(session, config, request, now)
    values |= {"pieces": pieces, **{limit.column.key: limit.key for limit in client_limits}}
    if insert_once(session, Checkout, **values, idempotency_key=key):
        checkout = session.get_one(Checkout, values["id"])
        discounts.hold_use(session, checkout)  # last: a concurrent repeat must meet this row first, not its held use
        return checkout
    return _same_request(_find_by_key(session, key), request)


def find_stored(session: Session, request: CheckoutRequest, key: str | None) -> Checkout | None:
    """Return the checkout of a repeated request; None for a new one.

    Raises `KeyReusedError` if the key was used for a different request.
    """
    stored = _find_by_key(session, key) if key else None
    return _same_request(stored, request) if stored else None


def is_resumable(checkout: Checkout, now: datetime) -> bool:
    """Return True if a repeated request may still finish this checkout. Afterwards the sweeper abandons it."""
    return now < checkout.created_at + RESUME_WINDOW


def _find_by_key(session: Session, key: str | None) -> Checkout | None:
    return session.scalar(select(Checkout).where(Checkout.idempotency_key == key))


def _same_request(stored: Checkout | None, request: CheckoutRequest) -> Checkout:
    if stored is None or stored.fingerprint not in (models.ERASED_FINGERPRINT, fingerprint(request)):
        raise KeyReusedError
    return stored


def _check_cart(config: Config, request: CheckoutRequest) -> None:
    if len(request.items) > config.max_lines:
        raise InvalidCartError(items=[f"This cart has too many lines: the maximum is {config.max_lines}. Remove some."])
    message = {"quantity": [f"Order at most {config.max_quantity} of one item."]}
    too_many = {
        str(position): message for position, item in enumerate(request.items) if item.quantity > config.max_quantity
    }
    if too_many:
        raise InvalidCartError(items=too_many)


def _priced_row(session: Session, config: Config, request: CheckoutRequest, now: datetime) -> dict[str, Any]:
    checkout_id = new_id("chk")
    quote = pricing.quote(
        session,
        request.items,
        request.currency or config.default_currency,
        discount_code=request.discount_code,
        shipping_option=request.shipping_option,
        shop_url=config.shop_url,
        now=now,
    )
    session_time = timedelta(minutes=config.checkout_session_minutes)
    session_time = min(max(session_time, MIN_SESSION_TIME), MAX_SESSION_TIME)
    return {
        "id": checkout_id,
        "status": models.NEW,
        "fingerprint": fingerprint(request),
        "created_at": now,
        "expires_at": (now + session_time).replace(microsecond=0),  # Stripe counts in seconds
        "check_at": now + RESUME_WINDOW,
        "currency": quote.currency,
        "amount_subtotal": quote.amount_subtotal,
        "amount_discount": quote.amount_discount,
        "amount_shipping": quote.amount_shipping,
        "amount_total": quote.amount_total,
        "lines": quote.lines,
        "shipping": quote.shipping,
        "shipping_options": quote.shipping_options,
        "coupon_ends_at": _coupon_end(config, now + session_time) if quote.amount_discount else None,
        "discount_code": request.discount_code,
        "customer_email": request.customer_email,
        "locale": request.locale,
        "success_url": redirects.success_url(request.success_url, config.shop_url, checkout_id),
        "cancel_url": redirects.cancel_url(request.cancel_url, config.shop_url, checkout_id),
        "automatic_tax": config.automatic_tax,
        "session_options": _session_options(config, quote),
    }


def _session_options(config: Config, quote: Quote) -> dict[str, Any]:
    """Return the settings of Stripe's page. Stripe accepts promotion codes only without a discount of the shop."""
    return {
        "shipping_countries": _shipping_countries(config, quote.shipping_options),
        "collect_phone": config.collect_phone,
        "billing_address": config.billing_address,
        "require_terms_of_service": config.require_terms_of_service,
        "consent_promotions": config.consent_promotions,
        "allow_promotion_codes": config.allow_promotion_codes and not quote.amount_discount,
        "allow_recovery": config.allow_recovery,
    }


def _shipping_countries(config: Config, options: Sequence[dict[str, Any]]) -> list[str]:
    """Return the countries to which any of the offered options ships; an empty list if the page asks for no address.

    A cart with a shipping option always needs an address: without an address it could not ship.
    """
    limited = {country for option in options for country in option["countries"]}
    if limited and all(option["countries"] for option in options):
        return sorted(limited)
    everywhere = set(config.shipping_countries) or (SHIPPING_COUNTRIES if options else set())
    return sorted(limited | everywhere)


def _coupon_end(config: Config, session_end: datetime) -> datetime:
    """Return when no session can use the checkout's coupon any more."""
    return session_end + (models.RECOVERY_TIME if config.allow_recovery else COUPON_GRACE)
