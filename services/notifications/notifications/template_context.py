"""The template context: everything that an e-mail's templates can use, from the data of its event.

`t(key)` is a text of the e-mail's kind and language with its placeholders filled in. `order` is the event's data, also
of an event about stock. `amounts` has its sums (amounts.py), and `details` has what staff need. `moment` formats a
time. `money` formats the price of a line; it is None if the customer was charged in another currency than that of the
prices. URLs such as `tracking_url` are empty unless they are http or https; those in `order` are not checked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from notifications.amounts import Data, charged_amounts, format_amounts
from notifications.kinds import STAFF_KINDS, Kind
from notifications.localization import Language
from notifications.staff_details import staff_details
from notifications.wording import count_by_sku, evidence_deadline, pieces_left_out, text_variants

MAX_NAME_CHARACTERS = 60  # a longer "name" is a message to another person
LINK_LIKE = re.compile(r"://|www\.|@|\.[a-z]{2,}(/|$)", re.IGNORECASE)  # mail programs make links of these
AFTER_EVERY_DATE = "9"  # as ISO dates sort

PLAIN_FIELDS = ("number", "sku", "available", "threshold", "resolved_by", "checkout_id")


@dataclass(frozen=True)
class Shop:
    """The shop that sends the e-mails. Both URLs may be empty.

    `order_url` is the page of an order for staff, with ``{order_id}`` in it.
    """

    name: str
    url: str = ""
    order_url: str = ""

    def order_link(self, data: Data) -> str:
        """Return the URL of the page on which staff see the event's order."""
        return self.order_url.replace("{order_id}", quote(data.get("order_id", ""), safe=""))


def template_context(kind: str, data: Data, language: Language, shop: Shop) -> dict[str, Any]:
    """Return the context of an e-mail. Raises `KeyError` if a field of the data is missing.

    Placeholders get their values when a template calls `t`, which raises `KeyError` for one without a value.
    """
    if kind == Kind.STAFF_DIGEST:
        return _digest_context(data, language, shop)
    amounts = format_amounts(data, language)
    values = text_values(data, language, amounts)
    context = {
        **_shared(kind, language, shop),
        "t": _texts(language, kind, text_variants(kind, data), {"shop": shop.name, **values}),
        "order": data,
        "amounts": amounts,
        "name": greeting_name(data.get("customer_name")),
        "recovery_url": safe_link(data.get("recovery_url")),
        "unsubscribe_url": safe_link(data.get("unsubscribe_url")),
        "tracking_url": safe_link(data.get("tracking_url")),
        "voucher_url": safe_link(data.get("voucher_url")),
        "why": language.find(kind, f"why_{data.get('review_reason')}") or "",
    }
    if "currency" in data:  # the event of an order
        is_charged_as_agreed = charged_amounts(data)["currency"] == data["currency"]
        context["money"] = partial(language.money, currency=data["currency"]) if is_charged_as_agreed else None
        context["parcel"] = named_pieces(count_by_sku(data.get("shipped") or []), data)
        context["remaining"] = named_pieces(count_by_sku(data.get("remaining") or []), data)
        context["left_out"] = named_pieces(pieces_left_out(data), data) if "shipped" in data else []
    if kind in STAFF_KINDS:
        context["details"] = staff_details(kind, data, values, language, safe_link(shop.order_link(data)))
    return context


def _digest_context(data: Data, language: Language, shop: Shop) -> dict[str, Any]:
    """Return the context of a digest: its e-mails, those with a deadline first, then in the order of their events."""
    items = sorted(
        (template_context(item["kind"], item["event_data"], language, shop) for item in data["items"]),
        key=lambda item: (evidence_deadline(item["order"]) or AFTER_EVERY_DATE, item["order"]["occurred_at"]),
    )
    values = {"shop": shop.name, "count": str(len(items))}
    return {
        **_shared(Kind.STAFF_DIGEST, language, shop),
        "t": _texts(language, Kind.STAFF_DIGEST, (), values),
        "items": items,
    }


def _shared(kind: str, language: Language, shop: Shop) -> dict[str, Any]:
    return {
        "kind": kind,
        "language": language.tag,
        "shop": shop,
        "moment": lambda iso: language.moment(datetime.fromisoformat(iso)),
    }


def _texts(language: Language, kind: str, variants: Sequence[str], values: Mapping[str, str]) -> Any:
    """Return the function that templates call `t`."""
    return lambda key, **more: language.text(kind, key, variants, **{**values, **more})


def text_values(data: Data, language: Language, amounts: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the placeholders in texts, formatted for the reader's language."""
    plain = {name: str(data[name]) for name in PLAIN_FIELDS if name in data}
    times = {"due": data.get("evidence_due_by"), "until": data.get("expires_at")}
    moments = {name: language.moment(datetime.fromisoformat(time)) for name, time in times.items() if time}
    return {**amounts, **plain, **moments}


def named_pieces(pieces: Mapping[str, int], data: Data) -> list[tuple[str, int]]:
    """Return (name, quantity) for each sku in `pieces`, with the name from the order's lines or else the sku."""
    names = {line["sku"]: line["name"] for line in data["lines"]}
    return [(names.get(sku, sku), quantity) for sku, quantity in pieces.items()]


def greeting_name(name: str | None) -> str:
    """Return the name for the greeting. It is empty if the "name" is long or has a link, as an advertisement has."""
    if not name or len(name) > MAX_NAME_CHARACTERS or LINK_LIKE.search(name):
        return ""
    return name


def safe_link(url: str | None) -> str:
    """Return an http or https URL, and "" for others: javascript:, data: and file: must not be clickable."""
    parts = urlsplit(url or "")
    return url if url and parts.scheme in ("http", "https") and parts.hostname else ""
