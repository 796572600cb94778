"""docs/events.md and docs/asyncapi.json match the contracts and the topology."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from events.messaging import topology
from events.messaging.contracts.registry import SCHEMAS

from tools import asyncapi as asyncapi_tool
from tools import event_docs
from tools.own_events import OCCASIONS

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "libs" / "events" / "tests" / "contracts"
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return made_documents()


def made_documents() -> dict[str, str]:
    return {"events.md": event_docs.text(CONTRACTS), "asyncapi.json": asyncapi_tool.text(CONTRACTS)}


@pytest.fixture(scope="module")
def asyncapi(made: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(made["asyncapi.json"])
    return document


def test_every_event_has_an_occasion() -> None:
    assert OCCASIONS.keys() == {event_type for event_type, _ in SCHEMAS}, "tools/own_events.py: OCCASIONS"


@pytest.mark.parametrize("name", ["events.md", "asyncapi.json"])
def test_committed_document_is_up_to_date(made: dict[str, str], name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == made[name], f"docs/{name} is not up to date: run `make docs`"


def test_same_input_makes_the_same_documents(made: dict[str, str]) -> None:
    assert made_documents() == made


def test_every_reference_has_a_target(asyncapi: dict[str, Any]) -> None:
    found = list(references(asyncapi))
    assert found
    for reference in found:
        place: Any = asyncapi
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_event_is_a_message_of_its_channel_and_of_its_queues(asyncapi: dict[str, Any]) -> None:
    for event_type, version in SCHEMAS:
        name = f"{event_type}.v{version}"
        assert name in asyncapi["channels"][event_type]["messages"]
        queues = {
            key.removeprefix("queue.")
            for key, channel in asyncapi["channels"].items()
            if key.startswith("queue.") and name in channel["messages"]
        }
        assert queues == set(topology.queues_for(event_type))


def test_schemas_allow_new_fields(made: dict[str, str]) -> None:
    assert "additionalProperties" not in made["asyncapi.json"]


def test_every_event_has_a_section_with_all_its_fields(made: dict[str, str]) -> None:
    sections = made["events.md"].split("\n## ")
    for (event_type, version), schema in SCHEMAS.items():
        (section,) = [text for text in sections if text.startswith(f"{event_type} v{version}\n")]
        assert [name for name in schema.fields if f"| `{name}` |" not in section] == []


@pytest.mark.parametrize(("tool", "name"), [(event_docs, "events.md"), (asyncapi_tool, "asyncapi.json")])
def test_command_writes_its_file(made: dict[str, str], tmp_path: Path, tool: Any, name: str) -> None:
    result = CliRunner().invoke(tool.main, [str(CONTRACTS), "--out", str(tmp_path / name)])
    assert result.exit_code == 0
    assert (tmp_path / name).read_text(encoding="utf-8") == made[name]


def references(part: Any) -> Any:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
