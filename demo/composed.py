"""The composed system of `make up`: its services, its fake Stripe and its mail catcher, over HTTP."""

import os
from pathlib import Path

from demo.fake_stripe.client import FakeStripeClient
from demo.shop.mailpit import Mailpit
from demo.system import System

OPERATOR_TOKENS = Path(__file__).parents[1] / ".secrets" / "operator_tokens"
PORTS = {"checkout": 8001, "webhooks": 8002, "orders": 8003, "inventory": 8004, "notifications": 8005}


def composed_system() -> System:
    """Return the system at the ports of docker-compose.yml, which environment variables like ORDERS_PORT can change.

    Raise `FileNotFoundError` if `make up` has not written the operators' token yet.
    """
    urls = {service: _url(f"{service.upper()}_PORT", port) for service, port in PORTS.items()}
    token = OPERATOR_TOKENS.read_text().split(",")[0].partition(":")[2].strip()
    return System(urls, token, FakeStripeClient(_url("FAKE_STRIPE_PORT", 8010)), Mailpit(_url("MAIL_UI_PORT", 8025)))


def _url(variable: str, port: int) -> str:
    return f"http://127.0.0.1:{os.environ.get(variable, port)}"
