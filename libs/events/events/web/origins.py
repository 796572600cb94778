"""Origins of websites, as browsers send them: `scheme://host[:port]` in lower case."""

import re
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}  # a browser leaves them out
HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")  # a domain in any other script needs its ASCII form (xn--…)


def url_origin(url: str) -> str:
    """Return a URL's origin. Raises `ValueError` if the URL has none, or a user part."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if parts.scheme not in DEFAULT_PORTS or "@" in parts.netloc or not HOST.fullmatch(host):
        raise ValueError("Use a URL such as https://shop.example.")
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a text, which separates them by commas. Raises `ValueError` for any other content.

    Spaces and a slash at the end are allowed. Wildcards and paths are not: a browser compares whole origins.
    """
    return tuple(_parse_origin(entry.strip()) for entry in text.split(",") if entry.strip())


def _parse_origin(text: str) -> str:
    origin = url_origin(text)
    parts = urlsplit(text)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"Use an origin without a path, such as {origin}.")
    return origin
