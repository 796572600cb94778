"""Fixtures of the web tests: clients of the application."""

from typing import Any

import pytest
from events.config import Common
from events.web.app import create_app
from flask.testing import FlaskClient

from libs.events.tests.unit.web.carts import OPERATOR, OTHER, SERVICE, SHOP, STAGING, MakeClient, routes


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
