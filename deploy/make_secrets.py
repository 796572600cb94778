"""The command behind `make secrets`: one file in .secrets/ for each secret of the Compose installation.

Existing files stay, so a second run after an upgrade adds only new secrets. `make rotate SECRET=…` replaces one.
Secrets of other systems come from the environment: STRIPE_API_KEY, STRIPE_WEBHOOK_SECRETS and SMTP_URL. Only the demo
can be without them: it has a fake Stripe and a mailbox of its own.
"""

import base64
import getpass
import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from settings_file import REMOVE_DEMO, RefusedError, is_demo
from settings_file import read as read_settings

FOLDER = Path(__file__).parents[1] / ".secrets"
USERS = Path(__file__).parent / "rabbitmq" / "users.json"
POLICIES = Path(__file__).parent / "rabbitmq" / "policies.json"
WITH_DATABASE = ("checkout", "orders", "inventory", "notifications")
TAGS = {"admin": ["administrator"], "monitoring": ["monitoring"]}
DEFINITIONS = "rabbitmq_definitions.json"
OF_OTHER_SYSTEMS = {  # file: variable
    "stripe_api_key": "STRIPE_API_KEY",
    "stripe_webhook_secrets": "STRIPE_WEBHOOK_SECRETS",
    "smtp_url": "SMTP_URL",
}
DEMO_MARK = "demo"  # begins the demo's own keys, so that no other installation starts with them
DEMO_SMTP_URL = "smtp://mailpit:1025?starttls=never"
KEY_MODE = re.compile(r"(?:sk|rk)(?:_org)?_(live|test)_")  # Stripe's secret, restricted and organization keys


def main() -> None:
    """Write the missing files. Exits 2 and says why if a secret is missing or does not fit the settings."""
    try:
        make(read_settings())
    except RefusedError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        sys.exit(2)


def make(settings: Mapping[str, str]) -> None:
    """Write the missing files for these settings. Without settings, the secrets are for a trial, as the demo's are."""
    store(plan(settings, None))


def plan(settings: Mapping[str, str], ask: Callable[[str], str] | None) -> dict[str, str]:
    """Return the secrets of other systems by file. Raises `RefusedError` and writes nothing if they do not fit.

    `ask` allows to ask a person for those that are missing. The answers are not shown.
    """
    is_trial = not settings or is_demo(settings)
    found, problems = {}, []
    for name, variable in OF_OTHER_SYSTEMS.items():
        stored, given = read(name), os.environ.get(variable, "").strip()
        if given and settings and is_trial and given != stored:
            problems.append(
                f"{variable} is set, but the demo has a secret of its own. For the demo: unset {variable}."
                f" For your own account: {REMOVE_DEMO}, then make configure."
            )
        elif given and stored and given != stored:
            problems.append(
                f"{variable} differs from .secrets/{name}. To replace that: make rotate SECRET={name}."
                f" To keep it: unset {variable}."
            )
        elif not is_trial and is_of_demo(stored):
            problems.append(f".secrets/{name} is the demo's. {REMOVE_DEMO}, then make configure.")
        elif not (stored or given or is_trial) and ask is None:
            problems.append(f"{variable} is missing. Set it: {variable}=… make configure, or answer make configure.")
        else:
            asked = "" if stored or given or is_trial or ask is None else getpass.getpass(f"{variable} (not shown): ")
            found[name] = stored or given or asked.strip() or _demo_secret(name)
            if not is_trial and is_of_demo(found[name]):
                problems.append(f"{variable} is missing or the demo's. Set it to that of your own account.")
    if not is_trial and (wrong := mode_problem(settings.get("LIVEMODE", ""), found.get("stripe_api_key", ""))):
        problems.append(wrong)
    if problems:
        raise RefusedError("\n".join(["Nothing was written.", *problems]))
    return found


def mode_problem(livemode: str, key: str) -> str | None:
    """Return why this key of Stripe does not fit LIVEMODE, or None. The services check the same at their start."""
    mode = KEY_MODE.match(key)
    if mode is None or (mode[1] == "live") == (livemode == "true"):
        return None
    return f"LIVEMODE={livemode}, but STRIPE_API_KEY is a {mode[1]} key. Both must be of the same mode of Stripe."


def is_of_demo(secret: str) -> bool:
    """Return True for a secret that the demo has invented."""
    return secret.startswith((f"sk_test_{DEMO_MARK}", f"whsec_{DEMO_MARK}")) or secret == DEMO_SMTP_URL


def _demo_secret(name: str) -> str:
    return {
        "stripe_api_key": f"sk_test_{DEMO_MARK}{secrets.token_hex(12)}",
        "stripe_webhook_secrets": f"whsec_{DEMO_MARK}{secrets.token_hex(12)}",
        "smtp_url": DEMO_SMTP_URL,
    }[name]


def store(of_other_systems: Mapping[str, str]) -> None:
    """Write the files that are missing."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    keep("postgres_password", token)
    for service in WITH_DATABASE:
        keep(f"{service}_database_url", lambda name=service: database_url(name))  # type: ignore[misc]
    users = broker_users()
    for user in users:
        password = keep(f"rabbitmq_{user}_password", token)
        keep(f"{user}_broker_url", lambda user=user, password=password: broker_url(user, password))  # type: ignore[misc]
    keep(DEFINITIONS, definitions)
    keep("service_token", token)
    keep("operator_tokens", lambda: f"operator:{token()}")
    for name, value in of_other_systems.items():
        keep(name, lambda value=value: value)  # type: ignore[misc]
    keep("unsubscribe_secret", token)
    keep("grafana_password", token)
    keep("monitoring_password", token)


def read(name: str) -> str:
    """Return a secret, or an empty text if its file is missing."""
    file = FOLDER / name
    return file.read_text().strip() if file.exists() else ""


def keep(name: str, make_secret: Callable[[], str]) -> str:
    """Return the secret of this name, and make it if its file is missing."""
    if not read(name):
        replace(name, make_secret())
        print(f"made .secrets/{name}")  # noqa: T201 - a command
    return read(name)


def replace(name: str, secret: str) -> None:
    """Write a secret into its file. A running container sees the new content, because the file itself stays the same.

    The file has mode 0644 because containers read it as another user. The folder has mode 0700.
    """
    file = FOLDER / name
    with file.open("r+" if file.exists() else "w") as opened:
        opened.write(secret)
        opened.truncate()
        opened.flush()
        os.fsync(opened.fileno())
    file.chmod(0o644)


def token() -> str:
    """Return 192 random bits as text."""
    return secrets.token_urlsafe(24)


def database_url(service: str) -> str:
    """Return a service's database URL with a new password."""
    return f"postgresql://{service}:{token()}@postgres:5432/{service}"


def broker_users() -> dict[str, dict[str, str]]:
    """Return the broker's users and their rights."""
    users: dict[str, dict[str, str]] = json.loads(USERS.read_text())
    return users


def broker_url(user: str, password: str) -> str:
    """Return a broker user's URL."""
    return f"amqp://{user}:{password}@rabbitmq:5672/%2F"


def definitions() -> str:
    """Return the definitions that RabbitMQ loads at start: https://www.rabbitmq.com/docs/definitions"""
    users = broker_users()
    document = {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": user,
                "password_hash": password_hash(read(f"rabbitmq_{user}_password")),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": TAGS.get(user, []),
            }
            for user in users
        ],
        "permissions": [{"user": user, "vhost": "/", **rights} for user, rights in users.items()],
        "policies": json.loads(POLICIES.read_text()),
    }
    return json.dumps(document, indent=2)


def password_hash(password: str) -> str:
    """Return RabbitMQ's salted hash: https://www.rabbitmq.com/docs/passwords#computing-password-hash"""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


if __name__ == "__main__":
    main()
