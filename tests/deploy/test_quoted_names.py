"""Tests, modules and functions that the documents name exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTED_TEST = re.compile(r"`(test_\w+)(?:\[[^`]*\])?`")
MODULE = re.compile(r"(?<![\w*{<])(?:[\w-]+/)*\w+\.py\b")
IDENTIFIER = re.compile(r"`([A-Za-z_]\w*)`")


def tracked(pattern: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout.split()
    found = listed or [path.relative_to(ROOT).as_posix() for path in ROOT.rglob(pattern)]
    return [name for name in found if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def modules() -> list[str]:
    return tracked("*.py")


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    """Markdown by path. The changelog names what was, too."""
    return {name: (ROOT / name).read_text() for name in tracked("*.md") if name != "CHANGELOG.md"}


def test_quoted_tests_exist(documents: dict[str, str], modules: list[str]) -> None:
    functions = {
        name
        for module in modules
        if "/test_" in module
        for name in re.findall(r"^ *def (test_\w+)", (ROOT / module).read_text(), re.MULTILINE)
    }
    quoted = {(name, path) for path, text in documents.items() for name in QUOTED_TEST.findall(text)}

    assert len(quoted) > 60
    assert sorted(pair for pair in quoted if pair[0] not in functions) == []


def test_named_modules_exist(documents: dict[str, str], modules: list[str]) -> None:
    named = {(name, path) for path, text in documents.items() for name in MODULE.findall(text)}
    known = {f"/{module}" for module in modules}

    assert len(named) > 60
    assert sorted(pair for pair in named if not any(path.endswith(f"/{pair[0]}") for path in known)) == []


def test_code_that_keeps_a_guarantee_exists(modules: list[str]) -> None:
    code = "\n".join((ROOT / module).read_text() for module in modules if "/tests/" not in module)
    words = set(re.findall(r"\w+", code))
    tables = "".join((ROOT / "docs" / name).read_text() for name in ("delivery.md", "payment-life.md"))
    rows = re.findall(r"^\| .+? \| (.+?) \| .+ \|$", tables, re.MULTILINE)
    named = {identifier for cell in rows for identifier in IDENTIFIER.findall(cell)}

    assert len(named) > 30
    assert named - words == set()
