"""Generator of docs/configuration.md: every setting that the services read, with its default; run by `make docs`.

Names and defaults come from the services' own `load`, descriptions from `ABOUT`.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import marshmallow
from events import config
from events.errors import ConfigError

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
SECRETS = (
    "DATABASE_URL",
    "BROKER_URL",
    "OPERATOR_TOKENS",
    "SERVICE_TOKEN",
    "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRETS",
    "SMTP_URL",
)

ABOUT: Mapping[str, str] = {
    "PORT": "The port of the web process. It listens on all interfaces.",
    "HEALTH_PORT": "The port of a worker's `/healthz`, `/readyz` and `/metrics`. 0 turns them off.",
    "LOG_LEVEL": "`DEBUG` (logs every request), `INFO`, `WARNING` or `ERROR`. Logs are JSON on standard error.",
    "BROKER_URL": "`amqp://user:password@host:5672/%2F` or `amqps://…`. Separate the nodes of a cluster by `;`.",
    "DECLARE_TOPOLOGY": "Declare the bus at start. `false`: only `webhooks declare-topology` declares it.",
    "DATABASE_URL": "`postgresql://user:password@host/name`, or `sqlite:///file` to try the service.",
    "OPERATOR_TOKENS": "The tokens for operator routes: `name:token,name:token`. Each has at least 16 characters.",
    "SERVICE_TOKEN": "The token that checkout sends to inventory. At least 16 characters, the same in both services.",
    "STRIPE_API_KEY": "Stripe's secret key. In webhooks only `backfill` needs it: keep it from the web process.",
    "STRIPE_API_BASE": "The base URL of Stripe's API. Set it to use the fake Stripe.",
    "STRIPE_WEBHOOK_SECRETS": "The endpoint's signing secrets, `whsec_…`, separated by commas. Two during a rotation.",
    "LIVEMODE": "`true` for Stripe's live mode, `false` for test mode. Events of the other mode are refused.",
    "INVENTORY_URL": "The inventory service, as checkout reaches it.",
    "SHOP_URL": "The shop's frontend. In checkout, browsers may call from it and return to it. E-mails link to it.",
    "ALLOWED_ORIGINS": "More origins, separated by commas, that browsers may call from and (checkout) return to.",
    "AUTOMATIC_TAX": "Let Stripe Tax calculate taxes. `false`: the products' own tax rates apply, if they have any.",
    "CHECKOUT_SESSION_MINUTES": "Minutes that a customer has for paying: 30 to 1440.",
    "RESERVATION_GRACE_MINUTES": "Minutes that the stock stays reserved after the session's end, for late webhooks.",
    "DEFAULT_CURRENCY": "The currency of carts that name none.",
    "MAX_QUANTITY": "The maximum quantity of one line.",
    "MAX_LINES": "The maximum number of lines in a cart.",
    "ALLOW_PROMOTION_CODES": "Let customers enter Stripe's promotion codes. Not for carts with a discount of the shop.",
    "SHIPPING_COUNTRIES": "Ask for a shipping address in one of these countries: `DE,AT`. Empty: do not ask.",
    "COLLECT_PHONE": "Ask for a phone number.",
    "BILLING_ADDRESS": "`required` asks every customer for it; `auto` only if the payment needs it.",
    "REQUIRE_TERMS_OF_SERVICE": "Require consent to the terms of service that are set in Stripe's dashboard.",
    "CONSENT_PROMOTIONS": "Ask for consent to promotional e-mails.",
    "REVIEW_AUTO_REFUND": "Review reasons that are refunded without an operator, separated by commas.",
    "LOW_STOCK_THRESHOLD": "Notify staff when no more than this many of a sku are available. 0 turns it off.",
    "SMTP_URL": "`smtp://` or `smtps://user:password@host:port?starttls=auto|require|never`.",
    "MAIL_FROM": "The sender: `Name <address>` or an address.",
    "STAFF_EMAIL": "The recipient of staff e-mails.",
    "STAFF_LOCALE": "The language of staff e-mails: `en`, `de`, `fr` or `ja`. Empty: English.",
    "STAFF_DIGEST": "Collect staff e-mails into one: `HH:MM` (daily, UTC) or an interval such as `2h`; or `off`.",
    "STAFF_ORDER_URL": "Where staff see an order, with `{order_id}` in the URL. Staff e-mails link to it.",
    "SHOP_NAME": "The shop's name in e-mails.",
    "TEMPLATES_DIR": "A folder with the shop's own templates and texts (services/notifications/README.md).",
    "ABANDONED_CART_DELAY": "Seconds from the session's end to the abandoned-cart e-mail.",
}


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each process reads its settings from the environment, once at start. If some are missing or invalid, it"
    yield "names all of them and exits 2. `NAME_FILE` can name a file that has the value of `NAME`; use it for secrets"
    yield "(†). `OTEL_EXPORTER_OTLP_ENDPOINT` turns traces on. OpenTelemetry's other variables work as well."
    for service in SERVICES:
        yield ""
        yield f"## {service}"
        yield ""
        yield "| variable | default | meaning |"
        yield "|---|---|---|"
        for name, field in settings(service).items():
            yield f"| `{name}`{' †' if name in SECRETS else ''} | {_default(field)} | {ABOUT[name]} |"


def settings(service: str) -> dict[str, marshmallow.fields.Field[Any] | None]:
    """Return the settings that the service reads, in its order. A required setting has no field."""
    asked: list[config._Environment] = []

    class Recording(config._Environment):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            asked.append(self)

    with patch.object(config, "_Environment", Recording), patch.dict(os.environ, clear=True):
        try:
            importlib.import_module(f"{service}.config").load()
        except ConfigError as error:  # expected: nothing is set
            missing = error.problems
    [environment] = asked
    return {name: environment._fields.get(name) for name in {**environment._fields, **missing}}


def _default(field: marshmallow.fields.Field[Any] | None) -> str:
    value = marshmallow.missing if field is None else field.load_default
    if value is marshmallow.missing:
        return "**required**"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in ("", [], None) else ""


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"docs/{PAGE.name}\n")
