"""The golden documents: added with every new (type, version), never changed."""

from collections.abc import Mapping
from typing import Any

import pytest
from events.messaging import contracts

ENTRIES = sorted(contracts.SCHEMAS)
Golden = Mapping[tuple[str, int], dict[str, Any]]


def test_catalogue_and_contracts_have_the_same_entries(golden: Golden) -> None:
    assert sorted(golden) == ENTRIES, "libs/events/tests/contracts wants one <type>.v<version>.json for each"


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_contract_fills_every_field_of_its_day(event_type: str, version: int, golden: Golden) -> None:
    schema = contracts.SCHEMAS[event_type, version]
    assert golden[event_type, version].keys() <= schema.fields.keys(), "a field was renamed or removed"


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_what_we_publish_is_the_contract(event_type: str, version: int, golden: Golden) -> None:
    document = golden[event_type, version]
    data = contracts.load(event_type, version, document)
    assert contracts.dump(event_type, version, _of_its_day(data, document)) == document


def _of_its_day(data: Any, document: Any) -> Any:
    """`data` without the optional fields that the schema got after the contract was written."""
    if isinstance(document, dict):
        return {name: _of_its_day(data[name], value) for name, value in document.items()}
    if isinstance(document, list):
        return [_of_its_day(item, value) for item, value in zip(data, document, strict=True)]
    return data
