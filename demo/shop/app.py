"""The shop's web application: static files, configuration and caught e-mails. The browser calls the services itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, send_from_directory

from demo.shop.mailbox import Mail
from demo.shop.operator import operator_blueprint

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/success": "success.html", "/cancel": "cancel.html", "/mail": "mail.html"}
IMAGE_MAX_AGE_S = 86_400  # images rarely change; the browser revalidates pages and scripts by ETag each time
MAIL_POLICY = (  # an e-mail can have styles but no scripts, and its links open outside the frame
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


class Mails(Protocol):
    """A source of caught e-mails: `Mailbox` or `Mailpit`."""

    @property
    def messages(self) -> Sequence[Mail]:
        """All caught e-mails, oldest first."""


@dataclass(frozen=True, kw_only=True)
class ShopConfig:
    """The shop's settings. The URLs of checkout, orders and inventory are those for browsers."""

    checkout_url: str
    orders_url: str
    inventory_url: str
    currencies: Sequence[str] = ("eur", "usd", "jpy")
    shipping_options: Sequence[Mapping[str, Any]] = ()  # as in deploy/catalog.json
    operator_url: str | None = None  # the orders service's URL for this server; without it, there is no operator page

    @property
    def services(self) -> list[str]:
        """The URLs that the shop's pages call."""
        return [self.checkout_url, self.orders_url, self.inventory_url]


def create_shop(config: ShopConfig, mailbox: Mails) -> Flask:
    """Return the shop's application. Its page /mail shows the e-mails of the mailbox."""
    app = Flask(__name__, static_folder=None)
    policy = page_policy(config.services)

    for path, page in PAGES.items():
        app.add_url_rule(path, page, send_page, defaults={"name": page})
    if config.operator_url:
        app.register_blueprint(operator_blueprint(config.operator_url, str(STATIC)))
    app.add_url_rule("/<path:name>", "file", send_page)

    @app.get("/config.json")
    def settings() -> Response:
        return jsonify(
            checkout_url=config.checkout_url,
            orders_url=config.orders_url,
            inventory_url=config.inventory_url,
            currencies=list(config.currencies),
            shipping_options=[dict(option) for option in config.shipping_options],
        )

    @app.get("/mail.json")
    def mails() -> Response:
        return jsonify([as_json(mail) for mail in mailbox.messages])

    @app.get("/mail/<mail_id>.html")
    def mail_body(mail_id: str) -> Response:
        mail = next((mail for mail in mailbox.messages if mail.id == mail_id), None)
        if mail is None or not mail.html:
            abort(404)
        response = Response(open_links_outside(mail.html), mimetype="text/html")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "strict-origin"  # the success page has the session's id in its URL
        return response

    return app


def send_page(name: str) -> Response:
    """Return a static file. Only images are cached without revalidation."""
    return send_from_directory(STATIC, name, max_age=IMAGE_MAX_AGE_S if name.startswith("images/") else 0)


def page_policy(services: Sequence[str]) -> str:
    """Return the content security policy of pages that call only these services."""
    origins = sorted({f"{url.scheme}://{url.netloc}" for url in map(urlsplit, services)})
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; frame-src 'self'; "
        f"connect-src 'self' {' '.join(origins)}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def open_links_outside(html: str) -> str:
    """Return an e-mail whose links open in a new window, since the e-mail is in a frame."""
    return html.replace("<head>", '<head><base target="_blank">', 1)


def as_json(mail: Mail) -> dict[str, object]:
    """Return an e-mail as an entry of /mail.json."""
    return {
        "id": mail.id,
        "to": ", ".join(mail.to),
        "from": mail.sender,
        "subject": mail.subject,
        "date": mail.date.isoformat(),
        "text": mail.text,
        "html": mail.html,
    }
