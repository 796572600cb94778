"""Serves the storefront's files, its configuration and the caught mails. All else the browser asks the services."""

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
IMAGE_SECONDS = 86_400  # drawings hardly ever change; pages and scripts are revalidated by ETag each time
MAIL_POLICY = (  # a mail may style itself; it runs no script, and its links open outside the frame
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


class Mails(Protocol):
    """Where the mails are: our own mailbox, or Mailpit."""

    @property
    def messages(self) -> Sequence[Mail]: ...


@dataclass(frozen=True, kw_only=True)
class ShopConfig:
    checkout_url: str
    orders_url: str
    inventory_url: str
    currencies: Sequence[str] = ("eur", "usd", "jpy")
    shipping_options: Sequence[Mapping[str, Any]] = ()  # as in deploy/catalog.json
    operator_url: str | None = None  # the orders service as this server reaches it; without it, no operators' page

    @property
    def services(self) -> list[str]:
        return [self.checkout_url, self.orders_url, self.inventory_url]


def create_shop(config: ShopConfig, mailbox: Mails) -> Flask:
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
        response = Response(with_links_outside(mail.html), mimetype="text/html")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "strict-origin"  # success.html's address names the session
        return response

    return app


def send_page(name: str) -> Response:
    return send_from_directory(STATIC, name, max_age=IMAGE_SECONDS if name.startswith("images/") else 0)


def page_policy(services: Sequence[str]) -> str:
    origins = sorted({f"{url.scheme}://{url.netloc}" for url in map(urlsplit, services)})
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; frame-src 'self'; "
        f"connect-src 'self' {' '.join(origins)}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def with_links_outside(html: str) -> str:
    return html.replace("<head>", '<head><base target="_blank">', 1)


def as_json(mail: Mail) -> dict[str, object]:
    return {
        "id": mail.id,
        "to": ", ".join(mail.to),
        "from": mail.sender,
        "subject": mail.subject,
        "date": mail.date.isoformat(),
        "text": mail.text,
        "html": mail.html,
    }
