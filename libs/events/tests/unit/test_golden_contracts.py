"""The golden documents: one is added with every new (type, version), and none is ever changed."""

from collections.abc import Mapping
from typing import Any

import pytest
from events.messaging.contracts import registry

ENTRIES = sorted(registry.SCHEMAS)
Golden = Mapping[tuple[str, int], dict[str, Any]]


def test_every_contract_has_a_golden_document(golden: Golden) -> None:
    assert sorted(golden) == ENTRIES, "libs/events/tests/contracts needs one <type>.v<version>.json for each contract"


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_golden_document_has_only_fields_of_the_contract(event_type: str, version: int, golden: Golden) -> None:
    schema = registry.SCHEMAS[event_type, version]
    assert golden[event_type, version].keys() <= schema.fields.keys(), "a field was renamed or removed"


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_golden_document_is_published_unchanged(event_type: str, version: int, golden: Golden) -> None:
    document = golden[event_type, version]
    data = registry.load(event_type, version, document)
    assert registry.dump(event_type, version, _same_fields(data, document)) == document


def _same_fields(data: Any, document: Any) -> Any:
    """Return `data` without the optional fields that the contract got after the document was written."""
    if isinstance(document, dict):
        return {name: _same_fields(data[name], value) for name, value in document.items()}
    if isinstance(document, list):
        return [_same_fields(item, value) for item, value in zip(data, document, strict=True)]
    return data
