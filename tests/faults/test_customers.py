"""Purchases through checkout's API while Stripe's API, its deliveries or the web processes fail."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.customers import Customers
from tests.faults.faults import Break, killed
from tests.faults.report import Report, Row
from tests.faults.rig import Rig, selected

CUSTOMERS = 16
PAUSE_S = 0.5
STALL_TIMEOUT_S = 90.0  # for one purchase, for its last events, and without progress until all is handled

pytestmark = pytest.mark.timeout(900)  # the shorter limits above find what is stuck


@contextmanager
def failing_api(rig: Rig) -> Iterator[None]:
    """Let Stripe's API answer 500, and carry out requests but answer after checkout's timeout of 10 seconds."""
    rig.stripe.add_fault("api_500", method="POST", count=12)
    rig.stripe.add_fault("api_timeout", method="POST", count=2, nth=4, seconds=11.0)
    yield
    rig.stripe.clear_faults()


@contextmanager
def faulty_deliveries(rig: Rig) -> Iterator[None]:
    """Let Stripe send duplicates, second events for one change, another order and bad signatures."""
    for kind in ("duplicate", "reorder", "second_event", "corrupt_signature", "delay"):
        rig.stripe.add_fault(kind, count=6, seconds=0.5)
    yield
    rig.stripe.clear_faults()


FAULTS: dict[str, Break] = {
    "Stripe's API fails and times out": failing_api,
    "Stripe's deliveries duplicated, out of order, badly signed": faulty_deliveries,
    "web of checkout and inventory killed at random": killed([("checkout", "web"), ("inventory", "web")], (2, 4)),
}
IN_EVERY_TEST_RUN = ("Stripe's API fails and times out",)


@pytest.mark.parametrize("fault", selected(FAULTS, IN_EVERY_TEST_RUN))
def test_customers_get_what_they_paid_for_once(rig: Rig, fault: str, report: Report) -> None:
    with FAULTS[fault](rig):
        customers = Customers(rig, CUSTOMERS, PAUSE_S)
        ledger = customers.wait_until_delivered(STALL_TIMEOUT_S)
    rig.ledger.add(ledger)
    drain_s = rig.wait_until_drained(STALL_TIMEOUT_S)
    findings = rig.auditor.audit(rig.ledger)
    report.rows.append(Row.measure(fault, ledger, rig.auditor, findings, began_at=customers.began_at, drain_s=drain_s))
    report.notes.append(f"{fault}: customers had to repeat {customers.repeated_requests} requests.")
    assert findings == []
