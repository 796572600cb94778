"""What goes wrong at checkout's own door: Stripe's API, its deliveries, and the web processes themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.bench import Bench, selected
from tests.faults.customers import Customers
from tests.faults.faults import Break, killed
from tests.faults.report import Report, row

CUSTOMERS = 16
WITHIN = 90.0  # seconds for one purchase, for what follows of it, and in which nothing more is settled

pytestmark = pytest.mark.timeout(900)  # the bounds above find what is stuck


@contextmanager
def failing_api(bench: Bench) -> Iterator[None]:
    """500s, and answers to what was carried out that come later than checkout waits (10 s)."""
    stripe = bench.system.stripe
    stripe.add_fault("api_500", method="POST", count=12)
    stripe.add_fault("api_timeout", method="POST", count=2, nth=4, seconds=11.0)
    yield
    stripe.clear_faults()


@contextmanager
def unruly_deliveries(bench: Bench) -> Iterator[None]:
    """Duplicates, second Events for one change, another order, bad signatures that are tried again."""
    for kind in ("duplicate", "reorder", "second_event", "corrupt_signature", "delay"):
        bench.system.stripe.add_fault(kind, count=6, seconds=0.5)
    yield
    bench.system.stripe.clear_faults()


FAULTS: dict[str, Break] = {
    "Stripe's API fails and times out": failing_api,
    "Stripe's deliveries unruly": unruly_deliveries,
    "web of checkout and inventory killed at random": killed([("checkout", "web"), ("inventory", "web")], (2, 4)),
}
BRIEF = ("Stripe's API fails and times out",)


@pytest.mark.parametrize("fault", selected(FAULTS, BRIEF))
def test_customers_get_what_they_paid_for_once(bench: Bench, fault: str, report: Report) -> None:
    with FAULTS[fault](bench):
        customers = Customers(bench.system, CUSTOMERS, pause=0.5)
        ledger = customers.ledger(WITHIN)
    bench.ledger.add(ledger)
    drained = bench.settle(WITHIN)
    findings = bench.auditor.audit(bench.ledger)
    report.rows.append(row(fault, ledger, bench.auditor, findings, customers.began, drained))
    report.notes.append(f"{fault}: customers were told to try again {customers.refusals} times.")
    assert findings == []
