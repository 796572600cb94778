"""Cursors, limits and instants."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from events.web.fields import Instant
from events.web.pagination import decode_cursor, encode_cursor
from events.web.problems import Problem
from flask.testing import FlaskClient
from marshmallow import ValidationError

from libs.events.tests.unit.web.carts import problem


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "0001-06-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
def test_instant_at_the_edge_of_the_calendar_is_refused(instant: str) -> None:
    with pytest.raises(ValidationError, match="Not a valid datetime"):
        Instant().deserialize(instant)
    with pytest.raises(Problem):
        decode_cursor(encode_cursor(instant), datetime)


def test_instant_is_loaded_in_utc() -> None:
    assert Instant().deserialize("2026-05-04T12:00:00+02:00") == datetime(2026, 5, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cursor", "types"),
    [
        ("WyJcdTAwMDAiXQ", [str]),  # ["\\u0000"]
        ("W10", [str]),  # []
        ("W3RydWVd", [int]),  # [true]
        (encode_cursor(2**31), [int]),
        (encode_cursor(-(2**31)), [int]),
        ("W1sxXSwi", [str]),
        (base64.urlsafe_b64encode(b"[" * 5000).decode(), [str]),
        (base64.urlsafe_b64encode(b'["\\ud800"]').decode(), [str]),
        (base64.urlsafe_b64encode(b"[" + b"9" * 5000 + b"]").decode(), [int]),
    ],
)
def test_cursor_that_decodes_to_something_else_is_refused(cursor: str, types: list[type]) -> None:
    with pytest.raises(Problem) as raised:
        decode_cursor(cursor, *types)
    assert (raised.value.status, *raised.value.members["errors"]) == (422, "cursor")


@pytest.mark.parametrize("cursor", ["zzz", "!!!", "é", "e30", "bnVsbA", "%00", "W", encode_cursor("a") + "x"])
def test_malformed_cursor_is_refused(client: FlaskClient, cursor: str) -> None:
    response = client.get("/carts", query_string={"cursor": cursor})
    assert "cursor" in problem(response, 422, "invalid-request")["errors"]


def test_cursor_round_trip_keeps_its_values(client: FlaskClient) -> None:
    values = ["2026-05-04T10:00:00+00:00", "ord_ü", 7]
    cursor = encode_cursor(*values)
    assert decode_cursor(cursor, datetime, str, int) == (datetime(2026, 5, 4, 10, tzinfo=UTC), "ord_ü", 7)
    assert client.get("/carts", query_string={"cursor": cursor}).get_json()["after"] == values


@pytest.mark.parametrize("limit", ["0", "201", "many", "-1"])
def test_limit_out_of_bounds_is_refused(client: FlaskClient, limit: str) -> None:
    assert "limit" in problem(client.get(f"/carts?limit={limit}"), 422, "invalid-request")["errors"]


def test_missing_limit_means_the_default(client: FlaskClient) -> None:
    assert client.get("/carts").get_json() == {"after": None, "limit": 50}


@pytest.mark.parametrize("values", [("noon", "evt_1"), (5, "evt_1"), ("2026-05-04T10:00:00+00:00",)], ids=str)
def test_cursor_of_another_list_is_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(Problem) as raised:
        decode_cursor(encode_cursor(*values), datetime, str)
    assert raised.value.status == 422


def test_cursor_with_naive_time_is_refused() -> None:
    with pytest.raises(Problem):
        decode_cursor(encode_cursor("2026-05-04T10:00:00", "evt_1"), datetime, str)
