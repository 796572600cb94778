"""The settings file .env of the Compose installation: which settings it can have, and how it is read and written.

Docker Compose reads .env for every command. So no setting depends on the shell that ran `make up`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / ".env"
COMPOSE_FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)")
OF_THE_BUILD = {"REVISION"}  # a label of images, which make sets
PROFILES = "COMPOSE_PROFILES"
HEADER = "# Written by `make configure`. Docker Compose reads this file for every command. After a change: make up\n"
REMOVE_DEMO = "Remove the demo with its data: make down VOLUMES=-v && rm -r .env .secrets"


class RefusedError(Exception):
    """A request that would leave an installation with settings that do not fit together."""


def given_settings() -> dict[str, str]:
    """Return the settings that the environment has, of those that docker-compose.yml reads."""
    given = {name: os.environ[name] for name in sorted(known_names()) if name in os.environ}
    if (asked := os.environ.get("PROFILES")) is not None:
        given[PROFILES] = asked
    return given


def known_names() -> set[str]:
    """Return the names of all variables that docker-compose.yml reads."""
    return {*VARIABLE.findall(COMPOSE_FILE.read_text()), PROFILES, "COMPOSE_PROJECT_NAME"} - OF_THE_BUILD


def is_demo(settings: Mapping[str, str]) -> bool:
    """Return True if these settings start the demo's fake Stripe."""
    return "demo" in profiles(settings)


def profiles(settings: Mapping[str, str]) -> list[str]:
    """Return the profiles that these settings start."""
    return [name.strip() for name in settings.get(PROFILES, "").split(",")]


def read() -> dict[str, str]:
    """Return the settings of the file, or none if it does not exist."""
    if not FILE.exists():
        return {}
    found = (ASSIGNMENT.fullmatch(line.strip()) for line in FILE.read_text().splitlines())
    return {match[1]: _unquoted(match[2].strip()) for match in found if match}


def write(settings: Mapping[str, str]) -> None:
    """Write the settings. Lines of the file that they do not name stay as they are."""
    lines = FILE.read_text().splitlines(keepends=True) if FILE.exists() else [HEADER]
    rest = dict(settings)
    for number, line in enumerate(lines):
        match = ASSIGNMENT.fullmatch(line.strip())
        if match and match[1] in rest:
            lines[number] = f"{match[1]}={_quoted(rest.pop(match[1]))}\n"
    lines += [f"{name}={_quoted(value)}\n" for name, value in rest.items()]
    new = FILE.with_name(FILE.name + ".new")
    new.write_text("".join(lines))
    new.replace(FILE)


def _quoted(value: str) -> str:
    """Return the value as Compose reads it back. In single quotes, it expands neither $ nor #."""
    if "'" in value or "\n" in value:
        raise RefusedError(f"Use no ' and no line break in a setting: {value!r}")
    return value if re.fullmatch(r"[\w.:/,@+-]*", value) else f"'{value}'"


def _unquoted(text: str) -> str:
    return text[1:-1] if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1 else text
