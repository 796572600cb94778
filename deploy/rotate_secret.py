"""The command behind `make rotate SECRET=…`: a new secret, for the server that knows it and the containers that use it.

It prints each step before it runs it. If a step fails, the command can be repeated. A container reads its secrets at
its start, and Compose does not restart it when their files change.
"""

import argparse
import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import time

import make_secrets
from make_secrets import DEFINITIONS, OF_OTHER_SYSTEMS, WITH_DATABASE, broker_url, broker_users, database_url, token
from settings_file import ROOT, RefusedError, is_demo
from settings_file import read as read_settings

GIVEN = {**OF_OTHER_SYSTEMS, "operator_tokens": "OPERATOR_TOKENS"}  # secrets that a person brings: their variables
READY_TIMEOUT_S = 600  # a container that cannot start is unhealthy earlier; a busy machine needs minutes
POLL_S = 2
FIXED = {
    "unsubscribe_secret": "A new one would break the links in sent e-mails and forget who unsubscribed.",
    DEFINITIONS: "It is made from the passwords of the broker's users. Rotate one of those.",
}
ALTER_ROLE = r"""\set password `cat /run/secrets/postgres_password`
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
ALTER ROLE postgres PASSWORD :'password';
"""


def main() -> None:
    """Rotate the secret of the command line. Exits 2 if it refuses to, and 1 if a step fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("secret", nargs="?", default="", help="the file in .secrets/, such as orders_database_url")
    secret = parser.parse_args().secret
    try:
        rotate(secret)
    except RefusedError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        sys.exit(2)
    except (subprocess.CalledProcessError, TimeoutError) as error:
        print(f"{error}\nRepeat this command: make rotate SECRET={secret}", file=sys.stderr)  # noqa: T201 - a command
        sys.exit(1)


def rotate(secret: str) -> None:
    """Replace a secret in its file and in the server that checks it. Then restart what uses it."""
    users = broker_users()
    user = re.sub(r"^rabbitmq_(\w+)_password$", r"\1", secret.removesuffix("_broker_url"))
    if secret in FIXED:
        raise RefusedError(f"{secret} stays as it is. {FIXED[secret]}")
    if secret in GIVEN:
        write(secret, given(secret))
    elif secret.removesuffix("_database_url") in WITH_DATABASE:
        write(secret, database_url(secret.removesuffix("_database_url")))
        run("docker", "compose", "run", "--rm", "--no-deps", "databases")
    elif secret == "postgres_password":  # noqa: S105 - a name
        write(secret, token())
        run("docker", "compose", "exec", "-T", "postgres", "psql", "-qU", "postgres", text=ALTER_ROLE)
    elif user in users:
        write(f"rabbitmq_{user}_password", password := token())
        write(secret := f"{user}_broker_url", broker_url(user, password))
        write(DEFINITIONS, make_secrets.definitions())
        run(
            "docker",
            "compose",
            "exec",
            "-T",
            "rabbitmq",
            "rabbitmqctl",
            "-q",
            "import_definitions",
            f"/run/secrets/{DEFINITIONS}",
        )
    elif secret in ("service_token", "grafana_password"):
        write(secret, token())
    else:
        raise RefusedError(f"Usage: make rotate SECRET=NAME, with one of these names: {', '.join(rotatable())}")
    restart_users(secret)


def rotatable() -> list[str]:
    """Return the names of the secrets that can be rotated."""
    databases = [f"{service}_database_url" for service in WITH_DATABASE]
    brokers = [f"{user}_broker_url" for user in broker_users()]
    return [*databases, "postgres_password", *brokers, "service_token", "grafana_password", *GIVEN]


def given(secret: str) -> str:
    """Return the new value of a secret that a person brings, from its variable or typed without echo."""
    variable, settings = GIVEN[secret], read_settings()
    if is_demo(settings) and secret in OF_OTHER_SYSTEMS:
        raise RefusedError(f"The demo's {secret} stays as it is: its fake Stripe and its mailbox have no other.")
    value = os.environ.get(variable, "").strip()
    if not value and sys.stdin.isatty():
        value = getpass.getpass(f"{variable} (not shown): ").strip()
    if not value:
        raise RefusedError(f"{variable} is missing. Set it: {variable}=… make rotate SECRET={secret}")
    if secret == "stripe_api_key" and (wrong := make_secrets.mode_problem(settings.get("LIVEMODE", ""), value)):  # noqa: S105
        raise RefusedError(wrong)
    return value


def write(name: str, value: str) -> None:
    """Write a secret into its file and print the file's name."""
    print(f"new .secrets/{name}", flush=True)  # noqa: T201 - a command
    make_secrets.replace(name, value)


def restart_users(secret: str) -> None:
    """Restart the running containers that have the secret, and wait until they are healthy."""
    services = json.loads(compose("config", "--format", "json"))["services"]
    having = {name for name, spec in services.items() if secret in {each["source"] for each in spec.get("secrets", [])}}
    servers = {"postgres", "rabbitmq"}  # they know the new password already
    users = sorted(name for name in having - servers if services[name].get("restart") != "no" and name in states())
    if not users:
        return
    if users == ["grafana"]:  # it stores its password when it starts without data
        run("docker", "compose", "up", "-d", "--no-deps", "--force-recreate", "grafana")
    else:
        run("docker", "compose", "restart", *users)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while waiting := _not_ready(users):
        if time.monotonic() > deadline or any("unhealthy" in state for state in waiting.values()):
            listed = ", ".join(f"{name} is {state}" for name, state in waiting.items())
            raise TimeoutError(f"{listed}. See docker compose logs.")
        time.sleep(POLL_S)
    print(f"healthy with the new secret: {', '.join(users)}")  # noqa: T201 - a command


def _not_ready(services: list[str]) -> dict[str, str]:
    """Return the state of each service that has a container which is not healthy, or no container."""
    found = states()
    waiting = {name: (found.get(name) or {"not running"}) - {"healthy", ""} for name in services}
    return {name: ", ".join(sorted(health)) for name, health in waiting.items() if health}


def states() -> dict[str, set[str]]:
    """Return the health of the running containers by service. Containers without a check have an empty one."""
    found: dict[str, set[str]] = {}
    for line in compose("ps", "--format", "json").splitlines():
        row = json.loads(line)
        found.setdefault(row["Service"], set()).add(row["Health"])
    return found


def compose(*arguments: str) -> str:
    """Return what a `docker compose` command prints."""
    command = ["docker", "compose", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return done.stdout


def run(*command: str, text: str | None = None) -> None:
    """Print a command, run it, and pass `text` to its standard input."""
    print("+", shlex.join(command), flush=True)  # noqa: T201 - a command
    subprocess.run(command, cwd=ROOT, check=True, input=text, text=True)  # noqa: S603


if __name__ == "__main__":
    main()
