"""The command behind `make configure`: the settings of the Compose installation, in the file .env.

Docker Compose reads .env for every command, also one that is typed without make. So no setting depends on the shell
that ran `make up`. Values come from the environment (`make configure LIVEMODE=true …`), or a person is asked for them.
Secrets are in .secrets/ (make_secrets.py). This file needs only Python, because a server has no .venv.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import make_secrets
from settings_file import FILE, PROFILES, REMOVE_DEMO, RefusedError, given_settings, is_demo, read, write

STRIPE = "https://api.stripe.com"
DEMO = {
    PROFILES: "demo",
    "LIVEMODE": "false",
    "STRIPE_API_BASE": "http://fake-stripe:12111",
    "SHOP_URL": "http://127.0.0.1:8000",
    "ALLOWED_ORIGINS": "http://127.0.0.1:8000,http://localhost:8000",
    "PUBLIC_URL": "http://localhost:8080",
    "MAIL_FROM": "Clozit <orders@clozit.example>",
    "STAFF_EMAIL": "staff@clozit.example",
    "VERSION": "dev",
    "ABANDONED_CART_DELAY": "2",
    "ABANDONED_CART_EMAILS": "all",
    "COLLECT_PHONE": "true",
    "ALLOW_PROMOTION_CODES": "true",
}


@dataclass(frozen=True)
class Required:
    """A setting without a default: its question, and the check that an answer must pass."""

    question: str
    check: Callable[[str], bool]
    expected: str


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _is_address(text: str) -> bool:
    return "@" in text.strip("@")


REQUIRED = {
    "LIVEMODE": Required("Stripe's live mode?", lambda text: text in ("true", "false"), "true (live) or false (test)"),
    "SHOP_URL": Required("The URL of the shop's frontend?", _is_url, "a URL: https://shop.example"),
    "ALLOWED_ORIGINS": Required(
        "The origins of browsers that may call, separated by commas?",
        lambda text: all(map(_is_url, text.split(","))),
        "origins: https://shop.example,https://www.shop.example",
    ),
    "PUBLIC_URL": Required(
        "The URL of this installation for customers?", _is_url, "the URL of port 8080 behind TLS: https://pay.example"
    ),
    "MAIL_FROM": Required("The sender of e-mails?", _is_address, "an address: Clozit <orders@shop.example>"),
    "STAFF_EMAIL": Required("The address for e-mails to staff?", _is_address, "an address: staff@shop.example"),
}


def main() -> None:
    """Write the settings, or check them with --check. Exits 2 and says why if it refuses to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; without settings, write those of the demo"
    )
    arguments = parser.parse_args()
    try:
        if arguments.check:
            check()
        else:
            configure(_ask if sys.stdin.isatty() else None)
    except RefusedError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        sys.exit(2)


def configure(ask: Callable[[str], str] | None) -> None:
    """Write the given settings and secrets, and ask for those that are missing. Without `ask`, refuse to go on.

    Nothing is written if anything is refused.
    """
    stored, given = read(), given_settings()
    if is_demo(stored) and not given:
        raise RefusedError(f"{FILE.name} has the demo's settings. {REMOVE_DEMO}\nThen run make configure again.")
    _refuse_mixture(stored, {**stored, **given})
    if is_demo({**stored, **given}):
        wanted = {**(stored or demo_settings(given)), **given}
    else:
        wanted = _complete({PROFILES: "", "STRIPE_API_BASE": STRIPE, "VERSION": "dev", **stored, **given}, ask)
    secrets = make_secrets.plan(wanted, ask)
    write(wanted)
    make_secrets.store(secrets)
    print(f"The settings are in {FILE.name}, the secrets in .secrets/. Start with: make up")  # noqa: T201 - a command


def _complete(wanted: dict[str, str], ask: Callable[[str], str] | None) -> dict[str, str]:
    """Return the settings with the answers for those that are missing."""
    answers = {
        name: ask(f"{required.question} ({required.expected})").strip()
        for name, required in REQUIRED.items()
        if ask and name not in wanted
    }
    complete = {**wanted, **answers}
    problems = [
        f"  {name}: {repr(complete[name]) if name in complete else 'missing'}. Expected: {required.expected}"
        for name, required in REQUIRED.items()
        if not required.check(complete.get(name, ""))
    ]
    if problems:
        raise RefusedError("\n".join(["Nothing was written. Run make configure NAME=VALUE … with these:", *problems]))
    return complete


def check() -> None:
    """Refuse settings that differ between the shell and the file. Without a file, write the demo's."""
    given = given_settings()
    stored = read()
    if not stored:
        wanted = {**demo_settings(given), **given}
        _refuse_mixture(DEMO, wanted)
        make_secrets.plan(wanted, None)
        write(wanted)
        print(  # noqa: T201 - a command
            f"No settings yet: wrote those of the demo to {FILE.name}. To use your own Stripe account later:\n"
            f"{REMOVE_DEMO} && make configure"
        )
        return
    if PROFILES in given and given[PROFILES] != stored.get(PROFILES):  # `make up PROFILES=demo,observe`
        stored = {**stored, PROFILES: given[PROFILES]}
        _refuse_mixture(read(), stored)
        write(stored)
    if differing := [name for name, value in given.items() if stored.get(name) != value]:
        lines = [f"  {name}: {given[name]!r} in the shell, {stored.get(name)!r} in {FILE.name}" for name in differing]
        raise RefusedError(
            "\n".join(["The shell has settings that the next command would not have:", *lines])
            + f"\nTo keep those of {FILE.name}: unset {' '.join(differing)}"
            + f"\nTo store those of the shell: make configure {' '.join(f'{name}={given[name]}' for name in differing)}"
        )
    if missing := [name for name in REQUIRED if not stored.get(name)]:
        raise RefusedError(f"{FILE.name} has no {', '.join(missing)}. Run make configure.")


def demo_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the demo's settings. They follow the ports that are given."""
    shop = given.get("SHOP_PORT", "8000")
    return {
        **DEMO,
        "SHOP_URL": f"http://127.0.0.1:{shop}",
        "ALLOWED_ORIGINS": f"http://127.0.0.1:{shop},http://localhost:{shop}",
        "PUBLIC_URL": f"http://localhost:{given.get('PUBLIC_PORT', '8080')}",
    }


def _refuse_mixture(stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuse a change between the demo and an own account: both would share data and secrets."""
    fixed = ("LIVEMODE", "STRIPE_API_BASE")
    if is_demo(stored) and (not is_demo(wanted) or any(wanted.get(name) != stored.get(name) for name in fixed)):
        raise RefusedError(f"{FILE.name} has the demo's settings. {REMOVE_DEMO}\nThen run make configure again.")
    if stored and is_demo(wanted) and not is_demo(stored):
        raise RefusedError(f"{FILE.name} is for your own Stripe account. Run the demo in another copy of this folder.")


def _ask(question: str) -> str:
    return input(f"{question}: ")


if __name__ == "__main__":
    main()
