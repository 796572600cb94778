"""The generator behind `make secrets`: one file in .secrets/ for each secret of the Compose installation.

Existing files stay, so a second run after an upgrade adds only new secrets. To replace a secret, delete its file and
the files that were made from it (docs/operations.md, "Rotate secrets"). Secrets of other systems come from the
environment: STRIPE_API_KEY, STRIPE_WEBHOOK_SECRETS and SMTP_URL. Without them the files are for the demo's fake Stripe
and mail server.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".secrets"
USERS = Path(__file__).parent / "rabbitmq" / "users.json"
POLICIES = Path(__file__).parent / "rabbitmq" / "policies.json"
WITH_DATABASE = ("checkout", "orders", "inventory", "notifications")
TAGS = {"admin": ["administrator"], "monitoring": ["monitoring"]}


def main() -> None:
    """Write the missing files."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    keep("postgres_password", token)
    for service in WITH_DATABASE:
        keep(f"{service}_database_url", lambda name=service: f"postgresql://{name}:{token()}@postgres:5432/{name}")
    users = json.loads(USERS.read_text())
    passwords = {user: keep(f"rabbitmq_{user}_password", token) for user in users}
    for user, password in passwords.items():
        keep(f"{user}_broker_url", lambda user=user, password=password: f"amqp://{user}:{password}@rabbitmq:5672/%2F")
    keep("rabbitmq_definitions.json", lambda: json.dumps(definitions(users, passwords), indent=2))
    keep("service_token", token)
    keep("operator_tokens", lambda: f"operator:{token()}")
    keep("stripe_api_key", lambda: os.environ.get("STRIPE_API_KEY") or f"sk_test_{token()}")
    keep("stripe_webhook_secrets", lambda: os.environ.get("STRIPE_WEBHOOK_SECRETS") or f"whsec_{token()}")
    keep("smtp_url", lambda: os.environ.get("SMTP_URL") or "smtp://mailpit:1025?starttls=never")
    keep("unsubscribe_secret", token)
    keep("grafana_password", token)


def keep(name: str, make: Callable[[], str]) -> str:
    """Return the secret of this name, and make it if its file is missing.

    The file has mode 0644 because containers read it as another user. The folder has mode 0700.
    """
    file = FOLDER / name
    if not file.exists():
        file.write_text(make())
        file.chmod(0o644)
        print(f"made {file.relative_to(FOLDER.parent)}")  # noqa: T201 - a command
    return file.read_text()


def token() -> str:
    """Return 192 random bits as text."""
    return secrets.token_urlsafe(24)


def definitions(users: dict[str, dict[str, str]], passwords: dict[str, str]) -> dict[str, object]:
    """Return the definitions that RabbitMQ loads at start: https://www.rabbitmq.com/docs/definitions"""
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": user,
                "password_hash": password_hash(passwords[user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": TAGS.get(user, []),
            }
            for user in users
        ],
        "permissions": [{"user": user, "vhost": "/", **rights} for user, rights in users.items()],
        "policies": json.loads(POLICIES.read_text()),
    }


def password_hash(password: str) -> str:
    """Return RabbitMQ's salted hash: https://www.rabbitmq.com/docs/passwords#computing-password-hash"""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


if __name__ == "__main__":
    main()
