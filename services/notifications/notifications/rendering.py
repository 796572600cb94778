"""Rendering: subject, text and HTML of an e-mail from its kind, its language and the data of its event.

There is one template for each kind and form, for all languages; e-mails to staff share one. Data from outside is put on
one line and without control characters before a template gets it. HTML is escaped.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter

from notifications.kinds import KINDS, STAFF_KINDS
from notifications.localization import choose_language
from notifications.template_context import Shop, template_context
from notifications.template_loader import Templates, built_in_templates
from notifications.wrapping import wrap

FALLBACKS = Counter(
    "clozit_template_fallbacks_total", "E-mails whose template from the shop's folder failed, by kind", ["kind"]
)
from_zero(FALLBACKS, KINDS)

INVISIBLE = "Cf"  # the category of joiners (Persian and Indic names, emoji), marks of direction and soft hyphens
TURNING = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}  # they could turn the text around them, too

log = get_logger(__name__)


@dataclass(frozen=True)
class RenderedMail:
    """An e-mail's content; `text` and `html` say the same. `language` is the tag of its language."""

    subject: str
    text: str
    html: str
    language: str


def render_with_fallback(
    kind: str, locale: str | None, event_data: Mapping[str, Any], shop: Shop, templates: Templates
) -> RenderedMail:
    """Return the e-mail, rendered with the shop's own templates and texts, or with the built-in ones if those fail.

    Raises any error of the built-in templates.
    """
    if templates.overrides is None:
        return render(kind, locale, event_data, shop)
    try:
        return render(kind, locale, event_data, shop, templates)
    except Exception:  # a template may raise anything
        log.exception(
            "rendering with the shop's templates failed, the built-in ones are used", kind=kind, locale=locale
        )
        FALLBACKS.labels(kind).inc()
        return render(kind, locale, event_data, shop)


def render(
    kind: str, locale: str | None, event_data: Mapping[str, Any], shop: Shop, templates: Templates | None = None
) -> RenderedMail:
    """Render an e-mail. `event_data` has JSON values. Raises any error of a template, also for a missing value."""
    templates = templates or built_in_templates()
    language = choose_language(locale, templates.translations)
    context = template_context(kind, _single_lines(event_data), language, shop)

    def rendered(form: str) -> str:
        names = (f"{kind}.{form}", f"staff.{form}") if kind in STAFF_KINDS else (f"{kind}.{form}",)
        return templates.environment.select_template(names).render(context)

    return RenderedMail(
        subject=" ".join(context["t"]("subject").split("\n")),
        text=wrap(rendered("txt")),
        html=rendered("html"),
        language=language.tag,
    )


def _is_kept(character: str) -> bool:
    """Return True for a character that shows, and for an invisible one that is a part of names and words."""
    is_invisible = unicodedata.category(character) == INVISIBLE
    return character.isprintable() or (is_invisible and unicodedata.bidirectional(character) not in TURNING)


def _single_lines(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join("".join(c if _is_kept(c) else " " for c in value).split())
    if isinstance(value, Mapping):
        return {key: _single_lines(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_single_lines(inner) for inner in value]
    return value
