"""Refusals of Stripe: the catalog names the field early, and a refused API key is our own fault, in every service."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from demo.embedded import embedded_system
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.system import System
from tests.e2e.shopper import CATALOG, TEE, Shopper

PRODUCT = {name: value for name, value in CATALOG[TEE].items() if name not in ("sku", "stock")}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with embedded_system(tmp_path_factory.mktemp("system"), Ports.find_free()) as running:
        yield running


@pytest.fixture(params=["api_401", "api_403"])
def refusal(system: System, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the fault with which Stripe refuses our key."""
    yield request.param
    stripe_of(system).clear_faults()


def stripe_of(system: System) -> FakeStripe:
    """Return the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe


def logged_errors(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(record.msg) for record in caplog.records if record.levelno == logging.ERROR)


@pytest.mark.parametrize(
    ("field", "value", "at_stripe"),
    [
        ("name", " ", {"name": " "}),
        ("name", "\u00a0\u3000", {"name": "\u00a0\u3000"}),
        ("name", "", {"name": ""}),
        ("description", " \n", None),
        ("tax_code", "txcd_3001100", {"name": "Tee", "tax_code": "txcd_3001100"}),
        ("tax_code", "txcd_٣٠٠١١٠٠٠", {"name": "Tee", "tax_code": "txcd_٣٠٠١١٠٠٠"}),
        ("tax_rates", ["txr_é"], None),
        ("image", "https://exa mple.com/tee.png", None),
        ("image", "https://images.test:x/tee.png", None),
    ],
)
def test_catalog_names_the_field_that_stripe_refuses(
    system: System, field: str, value: Any, at_stripe: dict[str, str] | None
) -> None:
    answer = system.operate("PUT", "checkout", f"/catalog/products/{TEE}", PRODUCT | {field: value})
    assert (answer.status_code, [*answer.json()["errors"]]) == (422, [field])
    if at_stripe:
        with pytest.raises(StripeError):
            system.stripe.create("products", at_stripe)


def test_checkout_with_a_refused_key_is_our_fault(
    system: System, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    shopper = Shopper(system, "refused")
    before = shopper.stock(TEE)
    stripe_of(system).add_fault(refusal, method="POST", count=9)
    answer = shopper.request_checkout({TEE: 1})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:clozit:problem:stripe-unauthorized")
    assert "Retry-After" not in answer.headers, "a repeat fails until an operator corrects the key"
    assert shopper.stock(TEE) == before
    assert "stripe refused the API key" in logged_errors(caplog)
    assert 'outcome="unauthorized"' in system.get("checkout", "/metrics").text, "the alert StripeRefusesKey counts it"


def test_refund_with_a_refused_key_waits_and_says_why(
    system: System, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    shopper = Shopper(system, "refused refund")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    stripe_of(system).add_fault(refusal, method="POST", count=9)
    answer = shopper.operate(checkout, "refunds", all=True)
    assert (answer.status_code, answer.json()["status"]) == (202, "requested")
    assert "API key" in answer.json()["error"]
    entries = [entry["text"] for entry in shopper.order_field(checkout, "timeline")]
    assert "Stripe refused the shop's API key" in entries[-1]
    assert "stripe refused the API key" in logged_errors(caplog)
