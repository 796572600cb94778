"""The URLs of product images, in the form that Stripe accepts: absolute, in ASCII, and not too long."""

import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import idna

MAX_URL_CHARACTERS = 2048  # characters, Stripe's limit
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")  # with its port, if it needs no encoding
SAFE = "!#$%&'()*+,/:;=?@~"  # characters that keep their meaning; `%` because parts may be encoded already


def is_allowed_image(image: str) -> bool:
    """Return True for an https URL with a host, and for a path below the shop's URL."""
    try:
        parts = urlsplit(image)
        encode_image(image)
    except ValueError:
        return False
    if not image.strip() or "\\" in image or "@" in parts.netloc:
        return False
    return bool(parts.hostname) if parts.scheme == "https" else not parts.scheme and not parts.netloc


def encode_image(image: str) -> str:
    """Return the URL or path in ASCII, with all other characters encoded. Raises `ValueError` for an invalid host."""
    parts = urlsplit(image)
    is_plain = not parts.netloc or HOST.fullmatch(parts.netloc)
    host = parts.netloc if is_plain else idna.encode(parts.netloc, uts46=True).decode("ascii")
    encoded = (quote(part, safe=SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, host, *encoded))


def image_url(shop_url: str, image: str | None) -> str | None:
    """Return the absolute URL of a product's image; None without an image, or if the URL is too long for Stripe."""
    if not image:
        return None
    url = urljoin(f"{shop_url}/", encode_image(image))
    return url if len(url) <= MAX_URL_CHARACTERS else None
