"""A mail's subject, text and HTML from its kind, its language and the order it is about.

One template per kind and form, for all languages. Whatever comes from outside is on one line and without control
characters before it meets a template; HTML is escaped; only http and https links are links.
"""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from notifications.localization import language

WIDTH = 72  # characters of a text line, so that a quoted one still fits into 80
NAME_LENGTH = 60  # longer "names" are messages to somebody else
ADVERTISING = re.compile(r"://|www\.|@|\.[a-z]{2,}(/|$)", re.IGNORECASE)  # mail clients make links of these


@dataclass(frozen=True)
class Shop:
    """Who writes. `url` may be empty."""

    name: str
    url: str = ""


@dataclass(frozen=True)
class Rendered:
    subject: str
    text: str
    html: str
    language: str


def render(kind: str, locale: str | None, context: Mapping[str, Any], shop: Shop) -> Rendered:
    """`context` is the data of the event that the mail is about, as JSON values. Raises when it lacks something."""
    speech = language(locale)
    order = _single_lines(context)
    total = speech.money(order["amount_total"], order["currency"])
    values = {"number": order["number"], "shop": shop.name, "total": total}
    scope = {
        "kind": kind,
        "language": speech.tag,
        "order": order,
        "name": greetable(order.get("customer_name")),
        "shop": shop,
        "t": partial(speech.text, kind, **values),
        "money": partial(speech.money, currency=order["currency"]),
        "moment": lambda iso: speech.moment(datetime.fromisoformat(iso)),
        "tax": order["amount_total"] - before_tax(order),
        "recovery_url": safe_link(order.get("recovery_url")),
    }
    return Rendered(
        subject=scope["t"]("subject"),
        text=wrap(_environment().get_template(f"{kind}.txt").render(scope)),
        html=_environment().get_template(f"{kind}.html").render(scope),
        language=speech.tag,
    )


def before_tax(order: Mapping[str, Any]) -> int:
    """What the parts come to; Stripe adds the tax to the total only."""
    parts: int = order["amount_subtotal"] - order["amount_discount"] + order["amount_shipping"]
    return parts


def greetable(name: str | None) -> str:
    """The name to greet by; empty where the "name" would have our server carry somebody's advertisement."""
    if not name or len(name) > NAME_LENGTH or ADVERTISING.search(name):
        return ""
    return name


def safe_link(url: str | None) -> str:
    """The URL, if it leads to the web; a mail must not offer javascript:, data: or file: to click."""
    parts = urlsplit(url or "")
    return url if url and parts.scheme in ("http", "https") and parts.hostname else ""


def wrap(text: str) -> str:
    """Lines of at most `WIDTH` characters, links whole; a list's further lines stay indented."""
    lines = (_wrap_line(line.rstrip()) for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _wrap_line(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip(" ")))
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _single_lines(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, Mapping):
        return {key: _single_lines(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_single_lines(inner) for inner in value]
    return value


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
