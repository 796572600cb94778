"""Writes configuration.md: every setting that the services read, with its type and default, taken from their code."""

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
    "PORT": "Where the web process listens, on all addresses.",
    "HEALTH_PORT": "Where a worker answers /healthz, /readyz and /metrics; 0: nowhere.",
    "LOG_LEVEL": "DEBUG (every request), INFO, WARNING or ERROR; logs are JSON on standard error.",
    "BROKER_URL": "`amqp://user:password@host:5672/%2F`, or `amqps://`; several nodes separated by `;`.",
    "DECLARE_TOPOLOGY": "Declare exchanges, queues and bindings; `false` where `webhooks declare-topology` does it.",
    "DATABASE_URL": "`postgresql://user:password@host/name`; `sqlite:///file` to try things out.",
    "OPERATOR_TOKENS": "Who may use the operators' routes: `name:token,name:token`, 16 characters or more each.",
    "SERVICE_TOKEN": "What checkout and inventory know each other by; 16 characters or more.",
    "STRIPE_API_KEY": "Stripe's secret key. webhooks needs it for `backfill` alone: leave it out of the web process.",
    "STRIPE_API_BASE": "Another Stripe: the fake one.",
    "STRIPE_WEBHOOK_SECRETS": "The endpoint's signing secrets, `whsec_…`; two during a roll, separated by a comma.",
    "LIVEMODE": "Which of Stripe's modes this installation belongs to; events of the other are refused.",
    "INVENTORY_URL": "The inventory service, as checkout reaches it.",
    "SHOP_URL": "The storefront: its origin may call and be returned to; mails link to it.",
    "ALLOWED_ORIGINS": "More origins that may call from a browser, and be returned to, separated by commas.",
    "AUTOMATIC_TAX": "Let Stripe Tax calculate. Otherwise the products' fixed tax rates are used, where they have any.",
    "CHECKOUT_SESSION_MINUTES": "How long a customer may take to pay: 30 to 1440.",
    "RESERVATION_GRACE_MINUTES": "How much longer the stock is held, for late webhooks.",
    "DEFAULT_CURRENCY": "For carts that name none.",
    "MAX_QUANTITY": "Pieces of one line.",
    "MAX_LINES": "Lines of one cart.",
    "ALLOW_PROMOTION_CODES": "Take Stripe's promotion codes on the payment page; excludes our own discount there.",
    "SHIPPING_COUNTRIES": "Ask for an address in one of these, `DE,AT`; empty: none is asked for.",
    "COLLECT_PHONE": "Ask for a phone number.",
    "BILLING_ADDRESS": "`auto` or `required`.",
    "REQUIRE_TERMS_OF_SERVICE": "Ask for consent to the terms that are set in Stripe's dashboard.",
    "CONSENT_PROMOTIONS": "Ask whether reminders and offers may be sent.",
    "REVIEW_AUTO_REFUND": "Reasons of a review for which the money goes back without a person, separated by commas.",
    "LOW_STOCK_THRESHOLD": "Tell staff when so few of a sku are available; 0: never.",
    "SMTP_URL": "`smtp://` or `smtps://user:password@host:port?starttls=auto|require|never`.",
    "MAIL_FROM": "`Name <address>` or an address.",
    "STAFF_EMAIL": "Where mails for the staff go.",
    "STAFF_LOCALE": "Their language: en, de, fr or ja.",
    "STAFF_DIGEST": "`off`, `HH:MM` (daily, UTC) or `2h`: collect the staff's mails into one.",
    "STAFF_ORDER_URL": "Where staff see an order, `{order_id}` in it.",
    "SHOP_NAME": "As mails name the shop.",
    "TEMPLATES_DIR": "A folder with the shop's own templates and texts (services/notifications/README.md).",
    "ABANDONED_CART_DELAY": "Seconds until an abandoned cart's reminder goes out.",
}


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each process reads its settings once, from the environment. A start with missing or bad ones names all of"
    yield "them and exits 2. `NAME_FILE` may name a file that holds the value of `NAME`; secrets (†) are best given so."
    yield "Besides, `OTEL_EXPORTER_OTLP_ENDPOINT` turns traces on, with the other variables that OpenTelemetry knows."
    for service in SERVICES:
        yield ""
        yield f"## {service}"
        yield ""
        yield "| variable | default | |"
        yield "|---|---|---|"
        for name, field in settings(service).items():
            yield f"| `{name}`{' †' if name in SECRETS else ''} | {_default(field)} | {ABOUT[name]} |"


def settings(service: str) -> dict[str, marshmallow.fields.Field[Any] | None]:
    """What the service's configuration asks its environment for, in its order."""
    asked: list[config._Environment] = []

    class Recording(config._Environment):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            asked.append(self)

    with patch.object(config, "_Environment", Recording), patch.dict(os.environ, clear=True):
        try:
            importlib.import_module(f"{service}.config").load()
        except ConfigError as error:  # of course: nothing is set
            missing = error.problems
    [environment] = asked
    return {name: environment._fields.get(name) for name in {**environment._fields, **missing}}


def _default(field: marshmallow.fields.Field[Any] | None) -> str:
    value = marshmallow.missing if field is None else field.load_default
    if value is marshmallow.missing:
        return "**needed**"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in ("", [], None) else ""


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"docs/{PAGE.name}\n")
