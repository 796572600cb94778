from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from demo.shop.app import ShopConfig, create_shop
from demo.shop.mailbox import Mailbox

STANDARD = {"id": "standard", "name": "Standard shipping", "amounts": {"eur": 490}, "free_from": {"eur": 10_000}}


class BufferedClient(FlaskClient):
    """A test client that reads every answer to its end, so that no served file stays open."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, **{"buffered": True, **options})


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    mailbox.start()
    yield mailbox
    mailbox.stop()


@pytest.fixture
def shop(mailbox: Mailbox) -> FlaskClient:
    config = ShopConfig(
        checkout_url="http://127.0.0.1:8001",
        orders_url="http://127.0.0.1:8003/orders-api",
        inventory_url="http://127.0.0.1:8004",
        shipping_options=[STANDARD],
    )
    app = create_shop(config, mailbox)
    app.test_client_class = BufferedClient
    return app.test_client()
