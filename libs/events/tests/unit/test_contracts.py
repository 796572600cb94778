"""Contracts: published data matches its schema exactly; received data may have more fields."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from events.errors import DecodeError
from events.messaging.contracts import registry
from marshmallow import ValidationError

ENTRIES = sorted(registry.SCHEMAS)
STARTED = ("checkout.checkout.started", 1)
REQUIRED = [
    (*entry, name) for entry in ENTRIES for name, field in registry.SCHEMAS[entry].fields.items() if field.required
]

Golden = Mapping[tuple[str, int], dict[str, Any]]


@pytest.fixture
def started(golden: Golden) -> dict[str, Any]:
    """Return the data of a checkout that started."""
    return registry.load(*STARTED, golden[STARTED])


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_unknown_field_is_not_published(event_type: str, version: int, golden: Golden) -> None:
    data = registry.load(event_type, version, golden[event_type, version])
    with pytest.raises(ValidationError) as raised:
        registry.dump(event_type, version, {**data, "surprise": 1})
    assert raised.value.messages == {"surprise": ["Unknown field."]}


@pytest.mark.parametrize(("event_type", "version", "name"), REQUIRED)
def test_missing_field_is_not_published(event_type: str, version: int, name: str, golden: Golden) -> None:
    data = registry.load(event_type, version, golden[event_type, version])
    del data[name]
    with pytest.raises(ValidationError) as raised:
        registry.dump(event_type, version, data)
    assert raised.value.messages_dict.keys() == {name}


@pytest.mark.parametrize(("event_type", "version", "name"), REQUIRED)
def test_null_is_not_published_for_a_required_field(event_type: str, version: int, name: str, golden: Golden) -> None:
    data = registry.load(event_type, version, golden[event_type, version])
    with pytest.raises(ValidationError) as raised:
        registry.dump(event_type, version, {**data, name: None})
    assert raised.value.messages_dict.keys() == {name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("currency", "EUR"),
        ("currency", "euro"),
        ("expires_at", datetime(2026, 5, 4, 11, 10)),  # noqa: DTZ001 - a naive time is refused
        ("lines", []),
        ("lines", "TEE-M"),
        ("lines", [{"sku": "TEE-M"}]),
    ],
)
def test_field_of_wrong_type_is_not_published(started: dict[str, Any], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        registry.dump(*STARTED, {**started, name: value})
    assert raised.value.messages_dict.keys() == {name}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount_total", 57.38),
        ("amount_total", "5738"),
        ("amount_total", "much"),
        ("amount_total", True),
        ("checkout_id", 12),
        ("customer_email", 5),
        ("livemode", "yes"),
        ("livemode", 1),
        ("expires_at", "2026-05-04T11:10:00+00:00"),
    ],
)
def test_value_is_not_converted_before_publishing(started: dict[str, Any], name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        registry.dump(*STARTED, {**started, name: value})


def test_line_without_pieces_is_not_published(started: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.dump(*STARTED, {**started, "lines": [{**started["lines"][0], "quantity": 0}]})


@pytest.mark.parametrize("change", [{"quantity": "x"}, {"quantity": 1.5}, {"surprise": 1}], ids=str)
def test_invalid_line_is_not_published(started: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.dump(*STARTED, {**started, "lines": [{**started["lines"][0], **change}]})


def test_time_in_another_zone_is_the_same_instant(started: dict[str, Any]) -> None:
    elsewhere = started["expires_at"].astimezone(datetime.fromisoformat("2026-01-01T00:00+02:00").tzinfo)
    document = registry.dump(*STARTED, {**started, "expires_at": elsewhere})
    assert datetime.fromisoformat(document["expires_at"]).astimezone(UTC) == started["expires_at"]


@pytest.mark.parametrize(("event_type", "version"), ENTRIES)
def test_field_of_a_newer_publisher_is_left_out(event_type: str, version: int, golden: Golden) -> None:
    document = golden[event_type, version]
    newer = {**document, "added_later": {"any": "thing"}}
    assert registry.load(event_type, version, newer) == registry.load(event_type, version, document)


@pytest.mark.parametrize(
    ("event_type", "version"), [entry for entry in ENTRIES if "lines" in registry.SCHEMAS[entry].fields]
)
def test_line_field_of_a_newer_publisher_is_left_out(event_type: str, version: int, golden: Golden) -> None:
    document = golden[event_type, version]
    newer = deepcopy(document)
    newer["lines"][0]["added_later"] = 1
    assert registry.load(event_type, version, newer) == registry.load(event_type, version, document)


@pytest.mark.parametrize(("event_type", "version", "name"), REQUIRED)
def test_document_without_a_required_field_is_undecodable(
    event_type: str, version: int, name: str, golden: Golden
) -> None:
    document = {key: value for key, value in golden[event_type, version].items() if key != name}
    with pytest.raises(DecodeError, match=name):
        registry.load(event_type, version, document)


@pytest.mark.parametrize("value", [57.38, True, "57,38", 10.0])
def test_non_integer_amount_is_undecodable(golden: Golden, value: Any) -> None:
    with pytest.raises(DecodeError, match="amount_total"):
        registry.load(*STARTED, {**golden[STARTED], "amount_total": value})


def test_absent_optional_fields_are_none(golden: Golden) -> None:
    optional = ("customer_email", "locale", "discount_code")
    document = {key: value for key, value in golden[STARTED].items() if key not in optional}
    loaded = registry.load(*STARTED, document)
    assert [loaded[name] for name in optional] == [None, None, None]


@pytest.mark.parametrize("entry", [("checkout.checkout.started", 99), ("checkout.checkout.unknown", 1)])
def test_event_without_a_contract_is_undecodable(entry: tuple[str, int]) -> None:
    with pytest.raises(DecodeError, match="has no contract"):
        registry.load(*entry, {})


@pytest.mark.parametrize(
    "url", ["https://buy.stripe.com/r/test_1", "http://127.0.0.1:12111/r/1", "http://stripe:12111/r/1"]
)
def test_recovery_url_may_have_any_host(golden: Golden, url: str) -> None:
    """In Compose and Kubernetes, host names have one label."""
    entry = ("orders.order.expired", 1)
    data = registry.load(*entry, golden[entry])
    assert registry.dump(*entry, {**data, "recovery_url": url})["recovery_url"] == url
