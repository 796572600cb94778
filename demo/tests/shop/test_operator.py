import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, jsonify, request
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from demo.shop.app import ShopConfig, create_shop
from demo.shop.mailbox import Mailbox

CLOSED_URL = "http://127.0.0.1:1"  # no server listens there
DETAIL = "The orders service does not answer. Try again in a moment."


def shop_with(operator_url: str | None, mailbox: Mailbox) -> FlaskClient:
    config = ShopConfig(
        checkout_url=CLOSED_URL, orders_url=CLOSED_URL, inventory_url=CLOSED_URL, operator_url=operator_url
    )
    return create_shop(config, mailbox).test_client()


@pytest.fixture
def orders_url() -> Iterator[str]:
    """The URL of a server that answers with the request it received."""
    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def echo(path: str) -> Any:
        shown = ("Authorization", "Idempotency-Key", "Cookie")
        headers = {name: request.headers[name] for name in shown if name in request.headers}
        return jsonify(path=path, args=request.args, headers=headers, body=request.get_json(silent=True)), 202

    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_operator_calls_are_forwarded_with_their_token(orders_url: str, mailbox: Mailbox) -> None:
    shop = shop_with(orders_url, mailbox)
    shop.set_cookie("session", "private")
    headers = {"Authorization": "Bearer t", "Idempotency-Key": "k1"}
    answer = shop.post("/operator/api/orders/ord_1/refunds?limit=2", json={"amount": 5}, headers=headers)
    assert answer.status_code == 202
    assert answer.get_json() == {
        "path": "orders/ord_1/refunds",
        "args": {"limit": "2"},
        "headers": headers,
        "body": {"amount": 5},
    }
    assert shop.get("/operator/api/orders").get_json()["path"] == "orders"


def test_operator_proxy_reaches_only_orders(orders_url: str, mailbox: Mailbox) -> None:
    shop = shop_with(orders_url, mailbox)
    assert shop.get("/operator/api/ops/inbox").status_code == 404
    assert shop.post("/operator/api/orders").status_code == 405


def test_orders_service_away_answers_503(mailbox: Mailbox) -> None:
    answer = shop_with(CLOSED_URL, mailbox).get("/operator/api/orders")
    assert (answer.status_code, answer.get_json()) == (503, {"detail": DETAIL})


def test_operator_page_is_off_without_operator_url(mailbox: Mailbox) -> None:
    assert shop_with(None, mailbox).get("/operator").status_code == 404
