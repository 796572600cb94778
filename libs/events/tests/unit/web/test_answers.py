"""Answers: problems, request ids, health checks, metrics and the OpenAPI document."""

import orjson
import pytest
from flask.testing import FlaskClient

from libs.events.tests.unit.web.carts import MakeClient, problem


def fail_check() -> None:
    raise ConnectionError("refused\nand a second line")


def test_unknown_route_is_a_problem(client: FlaskClient) -> None:
    problem(client.get("/nowhere"), 404, "not-found")


def test_wrong_method_is_a_problem_with_an_allow_header(client: FlaskClient) -> None:
    response = client.delete("/carts")
    problem(response, 405, "method-not-allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


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
