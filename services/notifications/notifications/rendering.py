"""A mail's subject, text and HTML from its kind, its language and the event that it is about.

One template per kind and form, for all languages; staff mails share one. Whatever comes from outside is on one line
and without control characters before it meets a template; HTML is escaped; only http and https links are links.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter

from notifications.facts import named, staff_facts, values, variants
from notifications.kinds import KINDS, STAFF_DIGEST, STAFF_KINDS
from notifications.localization import Language, language
from notifications.sources import Source, built_in
from notifications.wrapping import wrap

NAME_LENGTH = 60  # longer "names" are messages to somebody else
ADVERTISING = re.compile(r"://|www\.|@|\.[a-z]{2,}(/|$)", re.IGNORECASE)  # mail clients make links of these
LAST = "9"  # sorts after every date

FALLBACKS = Counter("clozit_template_fallbacks_total", "Mails whose own template failed, by kind", ["kind"])
from_zero(FALLBACKS, KINDS)

log = get_logger(__name__)


@dataclass(frozen=True)
class Shop:
    """Who writes. `url` may be empty, and `order_url`: where staff see an order, ``{order_id}`` in it."""

    name: str
    url: str = ""
    order_url: str = ""

    def order_link(self, data: Mapping[str, Any]) -> str:
        return self.order_url.replace("{order_id}", quote(data.get("order_id", ""), safe=""))


@dataclass(frozen=True)
class Rendered:
    subject: str
    text: str
    html: str
    language: str


def render_anyhow(kind: str, locale: str | None, context: Mapping[str, Any], shop: Shop, source: Source) -> Rendered:
    """With the shop's own templates and texts, or if these fail with the package's: a mail in the wrong dress is
    better than none. Raises when the package's fail too.
    """
    if source.overrides is None:
        return render(kind, locale, context, shop)
    try:
        return render(kind, locale, context, shop, source)
    except Exception:  # a template may raise anything
        log.exception("the shop's own template failed, the built-in one is used", kind=kind, locale=locale)
        FALLBACKS.labels(kind).inc()
        return render(kind, locale, context, shop)


def render(
    kind: str, locale: str | None, context: Mapping[str, Any], shop: Shop, source: Source | None = None
) -> Rendered:
    """`context` is the data of the event that the mail is about, as JSON values. Raises when it lacks something."""
    source = source or built_in()
    speech = language(locale, source.translations)
    data = _single_lines(context)
    scope = _digest(data, speech, shop) if kind == STAFF_DIGEST else _scope(kind, data, speech, shop)

    def written(form: str) -> str:
        names = (f"{kind}.{form}", f"staff.{form}") if kind in STAFF_KINDS else (f"{kind}.{form}",)
        return source.environment.select_template(names).render(scope)

    return Rendered(
        subject=" ".join(scope["t"]("subject").split("\n")), text=wrap(written("txt")), html=written("html"),
        language=speech.tag,
    )  # fmt: skip


def _scope(kind: str, data: Mapping[str, Any], speech: Language, shop: Shop) -> dict[str, Any]:
    spoken = {"shop": shop.name, **values(data, speech)}
    scope = {
        **_shared(kind, speech, shop),
        "t": _texts(speech, kind, variants(kind, data), spoken),
        "order": data,
        "name": greetable(data.get("customer_name")),
        "recovery_url": safe_link(data.get("recovery_url")),
        "tracking_url": safe_link(data.get("tracking_url")),
    }
    if "lines" in data:
        scope["money"] = partial(speech.money, currency=data["currency"])
        scope["tax"] = data["amount_total"] - before_tax(data)
        scope["parcel"] = named(data.get("shipped"), data)
        scope["remaining"] = named(data.get("remaining"), data)
    if kind in STAFF_KINDS:
        scope["facts"] = staff_facts(kind, data, speech, safe_link(shop.order_link(data)))
    return scope


def _digest(data: Mapping[str, Any], speech: Language, shop: Shop) -> dict[str, Any]:
    """What has a deadline comes first, then as it happened."""
    items = sorted(
        (_scope(item["kind"], item["context"], speech, shop) for item in data["items"]),
        key=lambda item: (item["order"].get("evidence_due_by") or LAST, item["order"]["occurred_at"]),
    )
    spoken = {"shop": shop.name, "count": str(len(items))}
    return {**_shared(STAFF_DIGEST, speech, shop), "t": _texts(speech, STAFF_DIGEST, (), spoken), "items": items}


def _shared(kind: str, speech: Language, shop: Shop) -> dict[str, Any]:
    return {
        "kind": kind,
        "language": speech.tag,
        "shop": shop,
        "moment": lambda iso: speech.moment(datetime.fromisoformat(iso)),
    }


def _texts(speech: Language, kind: str, chosen: Sequence[str], spoken: Mapping[str, str]) -> Any:
    """What templates call `t`."""
    return lambda key, **more: speech.text(kind, key, chosen, **{**spoken, **more})


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


def _single_lines(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, Mapping):
        return {key: _single_lines(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_single_lines(inner) for inner in value]
    return value
