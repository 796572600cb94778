"""Events: their envelope, body and ids."""

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from events.errors import DecodeError
from events.messaging.event import Event, new_id, original_routing_key, own_event
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from marshmallow import ValidationError

NOON = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)
REF = {"checkout_id": "chk_1", "session_id": "cs_1"}


@pytest.fixture
def event() -> Event:
    return own_event("checkout.checkout.canceled", REF, correlation_id="chk_1", causation_id="evt_0", occurred_at=NOON)


def received(event: Event, **changes: Any) -> Event:
    """Return the event as it is delivered, with some properties changed."""
    return Event.from_delivery(event.routing_key, {**event.properties(), **changes}, event.body)


def with_body(body: bytes, routing_key: str = "checkout.checkout.canceled", **headers: Any) -> Event:
    return Event("evt_1", routing_key, "checkout", NOON, body, headers=headers)


def test_own_event_has_all_message_properties(event: Event) -> None:
    assert event.properties() == {
        "message_id": event.id,
        "type": "checkout.checkout.canceled",
        "app_id": "checkout",
        "timestamp": 1777896000,
        "correlation_id": "chk_1",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "headers": {"version": 1, "causation_id": "evt_0"},
    }
    assert event.id.startswith("evt_")
    assert orjson.loads(event.body) == REF


def test_properties_are_unchanged_after_delivery(event: Event) -> None:
    delivered = received(event)
    assert delivered.properties() == event.properties()
    assert delivered.body == event.body
    assert delivered.occurred_at == NOON.replace(microsecond=0)


def test_stripe_event_is_unchanged_after_delivery() -> None:
    sent = as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_1")))
    delivered = received(sent)
    assert delivered.body == sent.body
    assert delivered.is_stripe
    assert delivered.type == "checkout.session.completed"
    assert delivered.routing_key == "stripe.checkout.session.completed"
    assert delivered.object["payment_status"] == "paid"


def test_timestamp_of_py_amqp_is_read_as_utc(event: Event) -> None:
    assert received(event, timestamp=datetime(2026, 5, 4, 12)).occurred_at == datetime(2026, 5, 4, 12, tzinfo=UTC)  # noqa: DTZ001


def test_headers_under_py_amqps_name_are_found(event: Event) -> None:
    delivered = received(event, headers=None, application_headers={"version": 1})
    assert delivered.headers == {"version": 1}


def test_source_is_the_first_word_of_the_type(event: Event) -> None:
    assert event.source == "checkout"


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_event_that_violates_its_contract_is_not_created() -> None:
    with pytest.raises(ValidationError):
        own_event("checkout.checkout.canceled", {"checkout_id": "chk_1"})


@pytest.mark.parametrize(
    "missing", [{"message_id": None}, {"message_id": ""}, {"timestamp": None}, {"timestamp": "noon"}]
)
def test_incomplete_envelope_is_undecodable(event: Event, missing: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        received(event, **missing)


@pytest.mark.parametrize("timestamp", [10**18, -(10**18)])
def test_timestamp_out_of_range_is_undecodable(event: Event, timestamp: int) -> None:
    with pytest.raises(DecodeError):
        received(event, timestamp=timestamp)


def test_message_without_a_routing_key_is_undecodable(event: Event) -> None:
    with pytest.raises(DecodeError, match="routing key"):
        Event.from_delivery("", event.properties(), event.body)


def test_lone_surrogate_in_the_envelope_is_undecodable(event: Event) -> None:
    """py-amqp passes them on."""
    with pytest.raises(DecodeError, match="correlation_id"):
        received(event, correlation_id="chk_\ud800")


def test_headers_that_are_no_scalars_are_left_out(event: Event) -> None:
    sent = {"version": 1, "x-death": [{"count": 1}], "x-shovelled": [{}], b"\xff": "odd", "bytes": b"", "none": None}
    sent |= {"nan": math.nan, "infinite": -math.inf}  # no database takes them as JSON
    assert received(event, headers=sent).headers == {"version": 1, "none": None}


@pytest.mark.parametrize("deaths", ["never", 1, ["never"], [{"exchange": "events"}]], ids=str)
def test_key_of_odd_deaths_comes_from_the_type(deaths: Any) -> None:
    assert original_routing_key("", "orders", "charge.updated", {"x-death": deaths}) == "stripe.charge.updated"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"NaN", b"'text'", b"[" * 100_000])
def test_body_that_is_not_json_is_undecodable(body: bytes) -> None:
    for routing_key in ("checkout.checkout.canceled", "stripe.charge.succeeded"):
        with pytest.raises(DecodeError, match="not JSON"):
            _ = with_body(body, routing_key).data


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"'])
def test_body_that_is_not_an_object_is_undecodable(body: bytes) -> None:
    for routing_key in ("checkout.checkout.canceled", "stripe.charge.succeeded"):
        with pytest.raises(DecodeError, match="not a JSON object"):
            _ = with_body(body, routing_key).data


def test_unknown_version_is_undecodable() -> None:
    with pytest.raises(DecodeError, match="version 2"):
        _ = with_body(orjson.dumps(REF), version=2).data


def test_event_without_a_version_has_version_one() -> None:
    assert with_body(orjson.dumps(REF)).data == REF | {"reason": None}


@pytest.mark.parametrize("version", ["new", None, []], ids=str)
def test_version_that_is_not_a_number_is_undecodable(version: Any) -> None:
    with pytest.raises(DecodeError):
        _ = with_body(orjson.dumps(REF), version=version).data


@pytest.mark.parametrize("body", [b"{}", b'{"data": null}', b'{"data": {}}', b'{"data": {"object": []}}'])
def test_stripe_event_without_an_object_is_undecodable(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"data\.object"):
        _ = with_body(body, "stripe.charge.succeeded").object


def test_stripe_event_is_read_without_unstorable_text() -> None:
    body = rb'{"data": {"object": {"na\u0000me": "Z\ud800o\u0000\ud83d\ude00 \\u0000"}}}'
    event = with_body(body, "stripe.charge.updated")
    assert event.object == {"name": "Zo\N{GRINNING FACE} \\u0000"}
    assert event.body == body


def test_own_event_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(DecodeError):
        _ = with_body(rb'{"checkout_id": "\ud800"}').data
