"""The origins from which browsers may read answers."""

import pytest
from flask.testing import FlaskClient

from libs.events.tests.unit.web.carts import SHOP, STAGING, MakeClient


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
