"""The commands of docs/operations.md: its code blocks by section, as an operator copies them into a new shell."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"^#{2,3} (.+)$")
COMPOSE_SECTIONS = (  # the sections about one machine; Kubernetes and single processes have others
    "On one machine",
    "Upgrade",
    "Back to the previous release",
    "Rotate secrets",
    "Scale",
    "Backup and restore",
    "Erase a customer",
)


def blocks(section: str) -> list[str]:
    """Return the code blocks of a section, without those of its subsections and those for Kubernetes."""
    found: list[list[str]] = []
    current, is_block = "", False
    for line in (ROOT / "docs" / "operations.md").read_text().splitlines():
        if heading := HEADING.match(line):
            current = heading[1]
        is_code = line.startswith("    ") and current == section
        if is_code:
            if not is_block:
                found.append([])
            found[-1].append(line[4:])
        is_block = is_code
    return ["\n".join(lines) for lines in found if not lines[0].startswith("kubectl")]


def block(section: str, containing: str) -> str:
    """Return the only code block of a section that has this text."""
    [found] = [each for each in blocks(section) if containing in each]
    return found
