"""Where Stripe may send the customer afterwards: to our own sites only."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

CHECKOUT_ID = "{CHECKOUT_ID}"
AMBIGUOUS = re.compile(r"[\\\s\x00-\x20\x7f]")  # browsers and urlsplit read these in different ways


def is_ours(url: str, origins: Iterable[str]) -> bool:
    """Whether the address begins with exactly one of the origins; no user part, no look-alike, no other port."""
    if AMBIGUOUS.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and f"{parts.scheme}://{parts.netloc}".lower() in origins


def success_url(wish: str | None, shop_url: str, checkout_id: str) -> str:
    """Stripe itself replaces {CHECKOUT_SESSION_ID}."""
    default = f"{shop_url.rstrip('/')}/success?session_id={{CHECKOUT_SESSION_ID}}"
    return (wish or default).replace(CHECKOUT_ID, checkout_id)


def cancel_url(wish: str | None, shop_url: str, checkout_id: str) -> str:
    default = f"{shop_url.rstrip('/')}/cancel?checkout_id={CHECKOUT_ID}"
    return (wish or default).replace(CHECKOUT_ID, checkout_id)
