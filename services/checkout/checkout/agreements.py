"""The first phase: what the customer wishes, priced and stored as it was agreed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.database.transaction import insert_once
from events.messaging.event import new_id
from events.web.idempotency import fingerprint, key_reused
from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout import discounts, models, pricing, redirects
from checkout.config import Config
from checkout.models import Checkout
from checkout.pricing import Item, Quote
from checkout.problems import Invalid

RESUMABLE = timedelta(minutes=2)  # a repeat of the request comes within seconds; longer would eat into MARGIN
MARGIN = RESUMABLE + timedelta(minutes=1)  # Stripe counts its minimum from when the last try reaches it
SHORTEST = timedelta(minutes=30) + MARGIN  # Stripe ends no session sooner than 30 minutes after it was made
LONGEST = timedelta(hours=24) - timedelta(minutes=1)  # nor later than 24 hours; clocks differ by seconds


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A validated request for a checkout."""

    items: Sequence[Item]
    currency: str | None = None
    customer_email: str | None = None
    discount_code: str | None = None
    shipping_option: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    locale: str | None = None


def store(session: Session, config: Config, wish: Wish, key: str | None, now: datetime) -> Checkout:
    """The checkout for this wish; the one that is there already for the same key.

    Raises `Problem` 409 when the key came with another wish, and what `pricing.quote` and `discounts.hold` raise.
    """
    if key and (known := _by_key(session, key)):
        return _same_wish(known, wish)
    _check_limits(config, wish)
    values = _agreed(session, config, wish, now)
    if insert_once(session, Checkout, **values, idempotency_key=key):
        checkout = session.get_one(Checkout, values["id"])
        discounts.hold(session, checkout)  # last, so that a repeat of this request finds itself first, not its use
        return checkout
    return _same_wish(_by_key(session, key), wish)


def is_resumable(checkout: Checkout, now: datetime) -> bool:
    """Whether an unfinished checkout may still be finished; the sweep takes those that may not."""
    return now < checkout.created_at + RESUMABLE


def _by_key(session: Session, key: str | None) -> Checkout | None:
    return session.scalar(select(Checkout).where(Checkout.idempotency_key == key))


def _same_wish(known: Checkout | None, wish: Wish) -> Checkout:
    if known is None or known.fingerprint not in (models.ERASED, fingerprint(wish)):
        raise key_reused()
    return known


def _check_limits(config: Config, wish: Wish) -> None:
    if len(wish.items) > config.max_lines:
        raise Invalid({"items": [f"A cart has at most {config.max_lines} lines."]})
    message = {"quantity": [f"At most {config.max_quantity} of one item."]}
    over = {str(at): message for at, item in enumerate(wish.items) if item.quantity > config.max_quantity}
    if over:
        raise Invalid({"items": over})


def _agreed(session: Session, config: Config, wish: Wish, now: datetime) -> dict[str, Any]:
    checkout_id = new_id("chk")
    quote = pricing.quote(
        session,
        wish.items,
        wish.currency or config.default_currency,
        discount_code=wish.discount_code,
        shipping_option=wish.shipping_option,
        shop_url=config.shop_url,
        now=now,
    )
    lasting = min(max(timedelta(minutes=config.session_minutes), SHORTEST), LONGEST)
    return {
        "id": checkout_id,
        "status": models.NEW,
        "fingerprint": fingerprint(wish),
        "created_at": now,
        "expires_at": (now + lasting).replace(microsecond=0),  # Stripe counts in seconds
        "check_at": now + RESUMABLE,
        "currency": quote.currency,
        "amount_subtotal": quote.amount_subtotal,
        "amount_discount": quote.amount_discount,
        "amount_shipping": quote.amount_shipping,
        "amount_total": quote.amount_total,
        "lines": quote.lines,
        "shipping": quote.shipping,
        "discount_code": wish.discount_code,
        "customer_email": wish.customer_email,
        "locale": wish.locale,
        "success_url": redirects.success_url(wish.success_url, config.shop_url, checkout_id),
        "cancel_url": redirects.cancel_url(wish.cancel_url, config.shop_url, checkout_id),
        "automatic_tax": config.automatic_tax,
        "page": _page(config, quote),
    }


def _page(config: Config, quote: Quote) -> dict[str, Any]:
    """What Stripe's page asks for and offers. Stripe takes either a discount of ours or promotion codes."""
    countries = quote.shipping["countries"] if quote.shipping else []
    return {
        "shipping_countries": countries or list(config.shipping_countries),
        "phone": config.collect_phone,
        "billing_address": config.billing_address,
        "terms_of_service": config.terms_of_service,
        "consent_promotions": config.consent_promotions,
        "promotion_codes": config.promotion_codes and not quote.amount_discount,
    }
