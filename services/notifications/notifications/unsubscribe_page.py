"""The public route of the links in promotional e-mails: a page that asks, and a click that unsubscribes (RFC 8058).

GET changes nothing, because e-mail scanners open every link. POST unsubscribes: mail programs send it with a form as
body, and the page's button sends it, too.
"""

from dataclasses import dataclass

from events.clock import utcnow
from events.database.engine import Database
from events.observability.logging import get_logger
from events.web.parameters import ignores_query
from events.web.requests import accepts_forms
from flask import Blueprint, Response, current_app, request

from notifications.localization import choose_language
from notifications.template_context import Shop
from notifications.template_loader import FALLBACK_LANGUAGE, Templates, built_in_templates
from notifications.unsubscribing import UnsubscribeLinks, unsubscribe

ASK, DONE, INVALID = "ask", "done", "invalid"
CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",  # the address of the page is the right to unsubscribe
    "X-Robots-Tag": "noindex",
}

blueprint = Blueprint("unsubscribe", __name__)
log = get_logger(__name__)


@dataclass(frozen=True)
class UnsubscribePage:
    """The database, links, shop and templates of the routes."""

    database: Database
    links: UnsubscribeLinks
    shop: Shop
    templates: Templates


@blueprint.get("/unsubscribe/<token>")
@ignores_query  # mail programs and scanners append their own
def ask(token: str) -> Response:
    """Show the page that asks if the customer wants to unsubscribe. It changes nothing."""
    return _answer(ASK) if _page().links.verified_key(token) else _answer(INVALID)


@blueprint.post("/unsubscribe/<token>")
@ignores_query
@accepts_forms
def confirm(token: str) -> Response:
    """Unsubscribe the address of the link from promotional e-mails. A repeat changes nothing."""
    page = _page()
    address_key = page.links.verified_key(token)
    if address_key is None:
        return _answer(INVALID)
    with page.database.begin() as session:
        if unsubscribe(session, address_key, utcnow()):
            log.info("address unsubscribed from promotional e-mails")
    return _answer(DONE)


def _page() -> UnsubscribePage:
    found: UnsubscribePage = current_app.extensions["clozit.unsubscribe"]
    return found


def _answer(state: str) -> Response:
    page = _page()
    try:
        html = _render(state, page.shop, page.templates)
    except Exception:  # a template of the shop may raise anything
        log.exception("rendering with the shop's templates failed, the built-in ones are used", kind="unsubscribe")
        html = _render(state, page.shop, built_in_templates())
    return Response(html, 404 if state == INVALID else 200, HEADERS, mimetype="text/html")


def _render(state: str, shop: Shop, templates: Templates) -> str:
    tag = request.accept_languages.best_match(sorted(templates.translations)) or FALLBACK_LANGUAGE
    language = choose_language(tag, templates.translations)

    def t(key: str) -> str:
        return language.text("unsubscribe", key, [state], shop=shop.name)

    return templates.environment.get_template("unsubscribe.html").render(
        t=t, state=state, shop=shop, language=language.tag
    )
