"""Requests of any shape: invalid bodies, paths and queries are refused by name."""

from typing import Any

import pytest
from events.web.blueprint import MAX_CONTAINERS, MAX_DEPTH, MAX_MEMBERS
from events.web.parameters import MAX_NAMED
from events.web.problems import NUL_ERROR
from flask.testing import FlaskClient

from libs.events.tests.unit.web.carts import SHOP, MakeClient, problem


def test_every_invalid_field_is_named(client: FlaskClient) -> None:
    response = client.post("/carts", json={"items": [1, "two"], "email": "nobody", "colour": "red"})
    assert problem(response, 422, "invalid-request")["errors"] == {
        "items": {"1": ["Not a valid integer."]},
        "email": ["Not a valid email address."],
        "colour": ["Unknown field."],
    }


def test_errors_in_a_list_are_named_by_position(client: FlaskClient) -> None:
    response = client.post("/carts/bulk", json=[{"items": []}, {}])
    errors = problem(response, 422, "invalid-request")["errors"]
    assert errors == {"1": {"items": ["Missing data for required field."]}}


def test_body_with_wrong_shape_is_refused(client: FlaskClient) -> None:
    assert problem(client.post("/carts", json=[1]), 422, "invalid-request")["errors"] == {
        "_schema": ["Invalid input type."]
    }


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"items": [NaN]}',
        b'{"items": [Infinity]}',
        b'{"items": [1e400]}',
        b'{"email": "\\ud800"}',
        b'{"email": "\xed\xa0\x80"}',
        b'{"\\udfff": 1}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 4000 + b"1" + b"}" * 4000,
    ],
)
def test_body_that_is_not_json_names_the_position(client: FlaskClient, body: bytes) -> None:
    response = client.post("/carts", data=body, content_type="application/json")
    assert "line 1 column " in problem(response, 400, "bad-request")["detail"]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b'{"email": "a\\u0000b", "items": []}', {"email": [NUL_ERROR]}),
        (b'{"items": [1, {"sku": ["\\u0000"]}]}', {"items": {"1": {"sku": {"0": [NUL_ERROR]}}}}),
        (b'{"items": {"a\\u0000": 1}}', {"items": [NUL_ERROR]}),
        (b'{"\\u0000": 1}', {"_schema": [NUL_ERROR]}),
        (b'"\\u0000"', {"_schema": [NUL_ERROR]}),
    ],
)
def test_nul_in_the_body_is_refused_at_its_place(client: FlaskClient, body: bytes, errors: dict[str, Any]) -> None:
    response = client.post("/carts", data=body, content_type="application/json")
    assert problem(response, 422, "invalid-request")["errors"] == errors


def test_backslash_before_u0000_is_no_nul(client: FlaskClient) -> None:
    response = client.post("/carts", data=rb'{"email": "\\u0000", "items": []}', content_type="application/json")
    assert problem(response, 422, "invalid-request")["errors"] == {"email": ["Not a valid email address."]}


def test_body_nested_too_deep_is_refused(client: FlaskClient) -> None:
    def refused(levels: int) -> Any:
        response = client.post("/carts", data="[" * levels + "]" * levels, content_type="application/json")
        return problem(response, 422, "invalid-request")["errors"]["_schema"]

    assert refused(MAX_DEPTH) == ["Invalid input type."]
    assert refused(MAX_DEPTH + 1) == refused(900) == [f"Send at most {MAX_DEPTH} levels of lists and objects."]


def test_body_with_too_many_lists_is_not_read(client: FlaskClient) -> None:
    body = '{"items": [' + "[]," * MAX_CONTAINERS  # no JSON: nothing parses it
    response = client.post("/carts", data=body, content_type="application/json")
    errors = problem(response, 422, "invalid-request")["errors"]
    assert errors == {"_schema": [f"Send at most {MAX_CONTAINERS} lists and objects."]}


@pytest.mark.parametrize("name", ["{}", "x"])
def test_body_with_too_many_fields_is_not_read(client: FlaskClient, name: str) -> None:
    body = "{" + ", ".join(f'"{name.format(number)}" : 1' for number in range(MAX_MEMBERS + 1)) + "}"
    response = client.post("/carts", data=body, content_type="application/json")
    errors = problem(response, 422, "invalid-request")["errors"]
    assert errors == {"_schema": [f"Send at most {MAX_MEMBERS} fields. Colons in texts count, too."]}


def test_many_unknown_parameters_get_a_short_answer(client: FlaskClient) -> None:
    response = client.get("/carts?" + "&".join(f"a{number}=1" for number in range(2000)))
    assert len(problem(response, 422, "invalid-request")["errors"]) == MAX_NAMED


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "9" * 5000, "1e300", "1.5"])
def test_number_that_is_no_integer_is_refused(client: FlaskClient, number: str) -> None:
    response = client.post("/carts", data=f'{{"items": [{number}]}}', content_type="application/json")
    assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("path", "name"), [("/carts/by-name/%00", "name"), ("/carts?cursor=a%00", "cursor"), ("/carts?limit=%00", "limit")]
)
def test_nul_in_path_or_query_is_refused_by_name(client: FlaskClient, path: str, name: str) -> None:
    assert problem(client.get(path), 422, "invalid-request")["errors"] == {name: [NUL_ERROR]}


def test_unknown_query_parameter_names_the_known_ones(client: FlaskClient) -> None:
    errors = problem(client.get("/carts?limt=1&limit=2"), 422, "invalid-request")["errors"]
    assert errors == {"limt": ["Unknown parameter. Use one of: cursor, limit."]}


@pytest.mark.parametrize("path", ["/carts?limit=1&limit=2", "/carts?limit=1&limit=1"])
def test_repeated_query_parameter_is_refused_by_name(client: FlaskClient, path: str) -> None:
    assert problem(client.get(path), 422, "invalid-request")["errors"] == {"limit": ["Send this parameter once."]}


def test_parameter_that_is_a_list_may_be_repeated(client: FlaskClient) -> None:
    assert client.get("/carts/some?sku=A&sku=B").get_json() == {"sku": ["A", "B"]}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"items": [1], "items": [2]}', "items"),
        ('{"items": [1], "\\u0069tems": [2]}', "items"),
        ('{"items": [1, {"a": 1, "a": 1}]}', "a"),
    ],
)
def test_repeated_field_of_a_body_is_refused_by_name(client: FlaskClient, body: str, name: str) -> None:
    response = client.post("/carts", data=body, content_type="application/json")
    assert problem(response, 422, "invalid-request")["errors"] == {name: ["Send this field once."]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/out-of-stock"),
        ("HEAD", "/out-of-stock"),
        ("POST", "/carts"),
        ("GET", "/openapi.json"),
    ],
)
def test_route_without_query_refuses_every_parameter(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(f"{path}?limit=1", method=method)
    assert response.status_code == 422
    if method != "HEAD":
        assert problem(response, 422, "invalid-request")["errors"] == {"limit": ["This route has no query parameters."]}


def test_probe_may_have_any_query(client: FlaskClient) -> None:
    assert client.get("/healthz?probe=1").status_code == 200


def test_preflight_request_may_have_any_query(client: FlaskClient) -> None:
    preflight = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    assert client.options("/carts?any=1", headers=preflight).status_code == 200


def test_body_above_the_limit_is_refused(client: FlaskClient) -> None:
    body = b'{"items": [' + b"1," * 600_000 + b"1]}"
    problem(client.post("/carts", data=body, content_type="application/json"), 413, "request-entity-too-large")


def test_body_of_other_content_type_is_refused(make_client: MakeClient) -> None:
    refused = make_client().post("/carts", data='{"items": [1]}')
    assert refused.status_code == 415
    assert refused.json is not None
    assert "application/json" in refused.json["detail"]
