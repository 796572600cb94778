"""URLs of websites, and their origins as browsers send them: `scheme://host[:port]` in lower case."""

import re
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}  # a browser leaves them out
HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")  # a domain in any other script needs its ASCII form (xn--…)
INVALID_PORT = "The URL has an invalid host or port. A port is a number from 1 to 65535."


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL. Raises `ValueError` for an invalid host or port, without the URL in its text."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(INVALID_PORT) from None
    if port == 0:
        raise ValueError(INVALID_PORT)
    return parts


def split_http_url(url: str) -> SplitResult:
    """Return the parts of an http or https URL.

    Raises `ValueError` for any other text, and for a URL with a user name or password.
    """
    parts = split_url(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("Use an http or https URL without user name and password, such as https://shop.example.")
    return parts


def url_origin(url: str) -> str:
    """Return the origin of an http or https URL: `scheme://host[:port]`.

    Raises `ValueError` for any other text, for a URL with user or password, and for a host that is not in ASCII.
    """
    parts = split_http_url(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if not HOST.fullmatch(host):
        raise ValueError("Use a host of ASCII letters, digits, dots and hyphens. For other scripts, use its xn-- form.")
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a comma-separated text. Raises `ValueError` for any other text.

    Spaces and a slash at the end are allowed. Wildcards and paths are not: a browser compares whole origins.
    """
    return tuple(_parse_origin(entry.strip()) for entry in text.split(",") if entry.strip())


def _parse_origin(text: str) -> str:
    origin = url_origin(text)
    parts = urlsplit(text)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"Use an origin without path, query and fragment, such as {origin}.")
    return origin
