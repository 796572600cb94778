"""Every service's web application, by the example of one with a few routes."""

import base64
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from events.config import Common
from events.web import auth
from events.web.app import create_app
from events.web.auth import operator_required, service_required
from events.web.blueprint import MAX_CONTAINERS, MAX_DEPTH, Blueprint
from events.web.fields import Instant
from events.web.pagination import PageArgs, decode_cursor, encode_cursor
from events.web.problems import NUL_ERROR, Problem
from flask import g
from flask.testing import FlaskClient
from marshmallow import Schema, ValidationError, fields

OPERATOR, OTHER, SERVICE = "operator-token-0123", "another-token-01234", "service-token-01234"
SHOP, STAGING = "https://shop.example", "https://staging.example"
MakeClient = Callable[..., FlaskClient]


class Cart(Schema):
    items = fields.List(fields.Integer(strict=True), required=True)
    email = fields.Email()


def routes() -> Blueprint:
    blueprint = Blueprint("carts", __name__)

    @blueprint.route("/carts", methods=["POST"])
    @blueprint.arguments(Cart)
    @blueprint.response(201)
    def make(cart: dict[str, Any]) -> dict[str, Any]:
        return {"items": len(cart["items"])}

    @blueprint.route("/carts")
    @blueprint.arguments(PageArgs, location="query")
    def list_(args: dict[str, Any]) -> dict[str, Any]:
        return {"after": decode_cursor(args["cursor"], str, str, int), "limit": args["limit"]}

    @blueprint.route("/carts/some")
    @blueprint.arguments(Schema.from_dict({"sku": fields.List(fields.String())}), location="query")
    def list_some(args: dict[str, Any]) -> dict[str, Any]:
        return args

    @blueprint.route("/carts/bulk", methods=["POST"])
    @blueprint.arguments(Cart(many=True))
    @blueprint.response(201)
    def make_many(carts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"carts": len(carts)}

    @blueprint.route("/carts/by-name/<name>")
    def show(name: str) -> dict[str, Any]:
        return {"name": name}

    @blueprint.route("/defect")
    def fail() -> dict[str, Any]:
        password = "local-secret"
        raise RuntimeError(f"zoe@example.com {len(password)}")

    @blueprint.route("/out-of-stock")
    def refuse() -> dict[str, Any]:
        raise Problem(409, "out-of-stock", "Take fewer.", headers={"Retry-After": "5"}, lines=[{"sku": "CAP"}])

    @blueprint.route("/operator")
    @operator_required
    def operator() -> dict[str, Any]:
        return {"actor": g.actor}

    @blueprint.route("/service")
    @service_required
    def service() -> dict[str, Any]:
        return {"actor": g.actor}

    return blueprint


@pytest.fixture
def make_client() -> MakeClient:
    def make(checks: Any = None, origins: Any = (SHOP, STAGING), **changes: Any) -> FlaskClient:
        tokens = {"operator_tokens": {"zoe": OPERATOR, "ana": OTHER}, "service_token": SERVICE}
        config = Common(**{"service": "carts", "port": 0, "broker_url": "memory://", **tokens, **changes})
        app = create_app(config, title="Carts", checks=checks or {}, blueprints=[routes()], allowed_origins=origins)
        return app.test_client()

    return make


@pytest.fixture
def client(make_client: MakeClient) -> FlaskClient:
    return make_client()


def problem(response: Any, status: int, kind: str) -> dict[str, Any]:
    """Assert that the response is this problem and return its body."""
    body: dict[str, Any] = response.get_json(force=True)
    assert response.content_type == "application/problem+json"
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"urn:clozit:problem:{kind}")
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    return body


def test_unknown_route_is_a_problem(client: FlaskClient) -> None:
    problem(client.get("/nowhere"), 404, "not-found")


def test_wrong_method_is_a_problem_with_an_allow_header(client: FlaskClient) -> None:
    response = client.delete("/carts")
    problem(response, 405, "method-not-allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


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


def test_defect_answers_500_without_its_details(client: FlaskClient) -> None:
    response = client.get("/defect")
    problem(response, 500, "internal-error")
    assert "zoe" not in response.text
    assert "RuntimeError" not in response.text
    assert "secret" not in response.text


def test_problem_has_its_members_and_headers(client: FlaskClient) -> None:
    response = client.get("/out-of-stock")
    assert problem(response, 409, "out-of-stock")["lines"] == [{"sku": "CAP"}]
    assert response.headers["Retry-After"] == "5"


def test_valid_request_id_of_the_caller_is_kept(client: FlaskClient) -> None:
    response = client.post("/carts", json={"items": [1]}, headers={"X-Request-ID": "edge-1.2:3"})
    assert (response.status_code, response.headers["X-Request-ID"]) == (201, "edge-1.2:3")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", 'a"b', "é"])
def test_invalid_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"].startswith("req_")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/nowhere", "/defect"])
def test_every_response_has_its_own_request_id(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["X-Request-ID"] != client.get(path).headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "token", "actor"),
    [("/operator", OPERATOR, "zoe"), ("/operator", OTHER, "ana"), ("/service", SERVICE, "service")],
)
def test_valid_token_is_accepted_and_names_the_actor(client: FlaskClient, path: str, token: str, actor: str) -> None:
    for scheme in ("Bearer", "bearer"):
        response = client.get(path, headers={"Authorization": f"{scheme} {token}"})
        assert (response.status_code, response.get_json()) == (200, {"actor": actor})


@pytest.mark.parametrize(("path", "kind"), [("/operator", "an operator's token"), ("/service", "the service token")])
@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", f"Basic {OPERATOR}", OPERATOR])
def test_missing_token_says_which_one_to_send(client: FlaskClient, path: str, kind: str, given: str | None) -> None:
    response = client.get(path, headers={"Authorization": given} if given is not None else {})
    detail = problem(response, 401, "unauthorized")["detail"]
    assert detail == f"This route needs {kind}. Send it as 'Authorization: Bearer <token>'."
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "kind"), [("/operator", "an operator's token"), ("/service", "the service token")])
@pytest.mark.parametrize("given", ["wrong", f"{OPERATOR} ", OPERATOR[:-1], "é", "zoe"])
def test_unknown_token_is_called_unknown(client: FlaskClient, path: str, kind: str, given: str) -> None:
    response = client.get(path, headers={"Authorization": f"Bearer {given}"})
    detail = problem(response, 401, "unauthorized")["detail"]
    assert detail == f"This token is unknown. Check it: this route needs {kind}."
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("path", "token", "detail"),
    [
        ("/operator", SERVICE, "This token is the service token. This route needs an operator's token."),
        ("/service", OPERATOR, "This token is an operator's token. This route needs the service token."),
    ],
)
def test_token_of_the_other_kind_is_named(client: FlaskClient, path: str, token: str, detail: str) -> None:
    response = client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert problem(response, 401, "unauthorized")["detail"] == detail
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_service_without_tokens_refuses_every_token(make_client: MakeClient) -> None:
    client = make_client(operator_tokens={}, service_token="")
    for given in ("Bearer", "Bearer ", "Bearer x"):
        assert client.get("/operator", headers={"Authorization": given}).status_code == 401
        assert client.get("/service", headers={"Authorization": given}).status_code == 401


def test_every_token_is_compared_in_constant_time(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    class Hmac:
        @staticmethod
        def compare_digest(known: bytes, given: bytes) -> bool:
            compared.append(known)
            return hmac.compare_digest(known, given)

    monkeypatch.setattr(auth, "hmac", Hmac)
    client.get("/operator", headers={"Authorization": f"Bearer {OPERATOR}"})
    assert compared == [OPERATOR.encode(), OTHER.encode(), SERVICE.encode()]


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


@pytest.mark.parametrize("origin", [SHOP, STAGING])
@pytest.mark.parametrize("path", ["/carts", "/out-of-stock", "/defect", "/nowhere"])
def test_allowed_origin_may_read_answers_and_problems(client: FlaskClient, origin: str, path: str) -> None:
    headers = client.get(path, headers={"Origin": origin}).headers
    assert headers["Access-Control-Allow-Origin"] == origin
    assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]
    assert "Origin" in headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{SHOP}.evil.example", "https://shopXexample", "http://shop.example", "null"]
)
def test_other_origin_is_not_allowed(client: FlaskClient, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert "Access-Control-Allow-Origin" not in client.get("/carts", headers={"Origin": origin}).headers
    assert "Access-Control-Allow-Origin" not in client.options("/carts", headers=preflight).headers


def test_no_origin_is_allowed_by_default(make_client: MakeClient) -> None:
    response = make_client(origins=()).get("/carts", headers={"Origin": SHOP})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_frontend_may_send_an_idempotency_key(client: FlaskClient) -> None:
    preflight = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, idempotency-key",
    }
    response = client.options("/carts", headers=preflight)
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert response.headers["Access-Control-Allow-Headers"].lower() == "content-type, idempotency-key"


def fail_check() -> None:
    raise ConnectionError("refused\nand a second line")


def test_failing_check_makes_the_service_unready_but_alive(make_client: MakeClient) -> None:
    client = make_client(checks={"database": fail_check, "broker": lambda: None})
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json() == {
        "status": "not ready",
        "checks": {"database": "ConnectionError: refused", "broker": "ok"},
    }
    assert client.get("/healthz").status_code == 200


def test_service_is_ready_when_all_checks_pass(make_client: MakeClient) -> None:
    ready = make_client(checks={"database": lambda: None}).get("/readyz")
    assert (ready.status_code, ready.get_json()) == (200, {"status": "ready", "checks": {"database": "ok"}})


def test_requests_are_counted_by_route(client: FlaskClient) -> None:
    client.get("/nowhere/chk_secret_1")
    client.get("/carts")
    metrics = client.get("/metrics").text
    assert 'route="/carts",status="200"' in metrics
    assert "chk_secret_1" not in metrics


def test_unknown_methods_add_no_metric_labels(client: FlaskClient) -> None:
    client.open("/carts", method="BREW7")
    assert "BREW7" not in client.get("/metrics").text


def test_openapi_describes_the_routes(client: FlaskClient) -> None:
    document = orjson.loads(client.get("/openapi.json").data)
    assert document["openapi"] == "3.1.0"
    assert {"get", "post"} <= document["paths"]["/carts"].keys()


def test_openapi_describes_errors_as_problem_documents(client: FlaskClient) -> None:
    document = orjson.loads(client.get("/openapi.json").data)
    content = document["components"]["responses"]["DEFAULT_ERROR"]["content"]
    assert content.keys() == {"application/problem+json"}
    reference = content["application/problem+json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert {"type", "title", "status", "detail"} <= document["components"]["schemas"][reference]["properties"].keys()


def test_body_of_other_content_type_is_refused(make_client: MakeClient) -> None:
    refused = make_client().post("/carts", data='{"items": [1]}')
    assert refused.status_code == 415
    assert refused.json is not None
    assert "application/json" in refused.json["detail"]
