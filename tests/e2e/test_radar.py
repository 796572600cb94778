"""Holds by Stripe Radar, with the setting RADAR_HOLDS on and off: from Stripe's review to the parcel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from events.testing.waiting import wait_until

from demo.embedded import embedded_system
from demo.ports import Ports
from demo.system import System
from tests.e2e.shopper import TEE, TIMEOUT_S, Shopper


@pytest.fixture
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    """A system with the setting that the test asks for."""
    with embedded_system(tmp_path, Ports.find_free(), orders={"radar_holds": request.param}) as running:
        yield running


@pytest.mark.parametrize("system", [True], indirect=True)
def test_radar_review_holds_the_parcel_until_approved(system: System) -> None:
    shopper = Shopper(system, "radar on")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    system.stripe.open_review(checkout["session_id"])
    shopper.mail("staff_review_opened")
    assert shopper.order_field(checkout, "review_reason") == "radar-review"
    assert shopper.operate(checkout, "shipments", all=True).status_code == 409
    system.stripe.close_review(checkout["session_id"], "approved")
    wait_until(lambda: not shopper.order_field(checkout, "needs_review"), TIMEOUT_S, "the approval")
    assert shopper.operate(checkout, "shipments", all=True).status_code == 201
    assert shopper.mail("order_shipped")


@pytest.mark.parametrize("system", [False], indirect=True)
def test_order_ships_during_a_review_without_holds(system: System) -> None:
    """Stripe's review and the bank's warning have arrived, and hold nothing."""
    shopper = Shopper(system, "radar off")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    shopper.mail("order_confirmed")
    system.stripe.open_review(checkout["session_id"])
    system.stripe.warn(checkout["session_id"])
    sent = {event["id"] for event in system.stripe.ledger["events"] if event["type"].startswith(("review.", "radar."))}
    assert len(sent) == 2

    def ignored() -> set[str]:
        found = system.get("orders", "/ops/inbox?status=ignored&limit=200", operator=True).json()["items"]
        return {event["event_id"] for event in found}

    wait_until(lambda: sent <= ignored(), TIMEOUT_S, "both events")
    order = shopper.order(checkout)
    assert (order["needs_review"], order["reviews"]) == (False, [])
    assert shopper.operate(checkout, "shipments", all=True).status_code == 201
    assert shopper.mail("order_shipped")
    assert shopper.mails("staff_review_opened") == []
