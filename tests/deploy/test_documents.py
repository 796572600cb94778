"""The references of the documents: files, headings, make targets and tests exist."""

import re
import subprocess
from pathlib import Path

import checkout.handlers
import inventory.handlers
import orders.handlers
import pytest
from events.messaging import topology
from events.messaging.contracts.reviews import ReviewReason
from events.messaging.event import STRIPE

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=False, capture_output=True, text=True).stdout
DOCUMENTS = [ROOT / name for name in LISTED.split()] or [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")
PATH = re.compile(r"`((?:tests|docs|deploy|bench|libs|services|demo)/[\w./-]+\.\w+)`")
TARGET = re.compile(r"`?make ([a-z]+(?:-[a-z]+)*)\b(?:`|\s+[A-Z]+=|\s*$)", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_have_a_target(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text()):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    named = set(PATH.findall(document.read_text()))

    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for document in DOCUMENTS for name in TARGET.findall(document.read_text())}

    assert len(named) > 10
    assert named - targets == set()


@pytest.mark.parametrize(
    ("name", "heading"),
    [("stripe.md", "## Events to subscribe to"), ("payment-life.md", "## Stripe's events and their effects")],
)
def test_listed_events_are_those_with_a_handler(name: str, heading: str) -> None:
    """A shop subscribes its endpoint to the listed events, and no other event reaches it."""
    section = (ROOT / "docs" / name).read_text().partition(heading)[2].partition("\n## ")[0]
    listed: list[str] = []
    for cell in re.findall(r"^\|(?: [a-z ]+ \|)? (`[^|]+) \|", section, re.MULTILINE):
        for event in re.findall(r"`(\.?[a-z_]+(?:\.[a-z_]+)*)`", cell):
            listed.append(listed[-1].rpartition(".")[0] + event if event.startswith(".") else event)
    keys = {*checkout.handlers.handlers.keys, *inventory.handlers.handlers.keys, *orders.handlers.handlers.keys}
    assert {*listed} == {key.removeprefix(STRIPE) for key in keys if key.startswith(STRIPE)}


def test_table_of_the_architecture_has_all_bindings() -> None:
    text = (
        (ROOT / "docs" / "architecture.md").read_text().partition("| bindings of its queue |")[2].partition("\n\n")[0]
    )
    rows = re.findall(r"^\| (\w+) worker \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    assert {service: {*re.findall(r"`([^`]+)`", cell)} for service, cell in rows} == {
        service: {*keys} for service, keys in topology.BINDINGS.items()
    }


def test_handbook_explains_every_review_reason() -> None:
    section = (ROOT / "docs" / "handbook.md").read_text().partition("## Resolve a review")[2].partition("\n## ")[0]
    first_cells = "".join(re.findall(r"^\|([^|]*)\|", section, re.MULTILINE))
    assert {*re.findall(r"`([a-z-]+)`", first_cells)} >= {*ReviewReason}


def test_restore_drill_is_documented() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()

    assert "`tests/e2e/test_restore.py`" in operations
    assert "def test_" in (ROOT / "tests" / "e2e" / "test_restore.py").read_text()
