"""The URLs to which Stripe sends customers back: only the shop's own sites are allowed."""

import re
from collections.abc import Iterable

from events.web.origins import url_origin

CHECKOUT_ID = "{CHECKOUT_ID}"
AMBIGUOUS = re.compile(r"[\\\s\x00-\x20\x7f]")  # browsers and urlsplit read these in different ways


def is_allowed(url: str, origins: Iterable[str]) -> bool:
    """Return True if the URL's scheme, host and port are one of the origins, and the URL has no user part."""
    if AMBIGUOUS.search(url):
        return False
    try:
        return url_origin(url) in origins
    except ValueError:  # a URL without an origin
        return False


def success_url(requested: str | None, shop_url: str, checkout_id: str) -> str:
    """Return the requested URL or the shop's default. `{CHECKOUT_ID}` is replaced by the checkout's id.

    Stripe replaces `{CHECKOUT_SESSION_ID}` by the session's id.
    """
    default = f"{shop_url.rstrip('/')}/success?session_id={{CHECKOUT_SESSION_ID}}"
    return (requested or default).replace(CHECKOUT_ID, checkout_id)


def cancel_url(requested: str | None, shop_url: str, checkout_id: str) -> str:
    """Return the requested URL or the shop's default. `{CHECKOUT_ID}` is replaced by the checkout's id."""
    default = f"{shop_url.rstrip('/')}/cancel?checkout_id={CHECKOUT_ID}"
    return (requested or default).replace(CHECKOUT_ID, checkout_id)
