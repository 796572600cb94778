"""An application with a few routes, by whose example the tests look at every service's web application."""

from collections.abc import Callable
from typing import Any

from events.web.auth import operator_required, service_required
from events.web.blueprint import Blueprint
from events.web.pagination import PageArgs, decode_cursor
from events.web.problems import Problem
from flask import g
from flask.testing import FlaskClient
from marshmallow import Schema, fields

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


def problem(response: Any, status: int, kind: str) -> dict[str, Any]:
    """Assert that the response is this problem and return its body."""
    body: dict[str, Any] = response.get_json(force=True)
    assert response.content_type == "application/problem+json"
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"urn:clozit:problem:{kind}")
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    return body
