"""Results of refunds, reviews and disputes: from Stripe and the banks to operators, staff, customers and reconcile."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orders.worker
import pytest
from click.testing import CliRunner
from events.testing import http
from events.testing.waiting import wait_until
from orders.__main__ import main
from orders.reconciliation import run as reconciliation

from demo.embedded import embedded_system
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.scenarios.run import Checkout
from demo.system import System
from tests.e2e.shopper import TEE, TIMEOUT_S, Shopper, money

Reconcile = Callable[..., list[dict[str, Any]]]

RATE = 1.08  # US dollars for a euro


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """Yield a system whose policy refunds what Radar places in review, and nothing else."""
    policy = {"review_auto_refund": ("radar-review",)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders.worker, "POLICY_INTERVAL_S", 0.2)
        with embedded_system(folder, Ports.find_free(), orders=policy) as running:
            yield running


@pytest.fixture
def reconcile(system: System, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Reconcile:
    """Return the command `reconcile`, which also compares what changed just now."""
    monkeypatch.setattr(reconciliation, "MIN_CHANGE_AGE", timedelta(0))
    environment = {
        "DATABASE_URL": f"sqlite:///{folder / 'orders'}.db",
        "BROKER_URL": "memory://",
        "OPERATOR_TOKENS": "ana:operator-token-of-ana",
        "STRIPE_API_KEY": "sk_test_demo",
        "LIVEMODE": "false",
        "STRIPE_API_BASE": stripe_of(system).url,
    }

    def differences(checkout: Checkout, *arguments: str) -> list[dict[str, Any]]:
        """Return the differences of this checkout's order: other tests have their own."""
        printed = CliRunner().invoke(main, ["reconcile", "--json", *arguments], env=environment).stdout
        found = json.loads(printed)["differences"]
        return [each for each in found if each["checkout_id"] == checkout["checkout_id"]]

    return differences


def stripe_of(system: System) -> FakeStripe:
    """Return the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe


class Case(Shopper):
    """A customer with a paid order of two T-shirts, and the operators of the shop."""

    def __init__(self, system: System, name: str) -> None:
        super().__init__(system, name)
        self.checkout = self.start_checkout({TEE: 2})
        self.pay(self.checkout)
        wait_until(lambda: self.is_sold(self.checkout, TEE), TIMEOUT_S, "the sale")
        self.total: int = self.checkout["amount_total"]
        self.session_id: str = self.checkout["session_id"]

    def act(self, action: str, **body: Any) -> httpx.Response:
        return self.operate(self.checkout, action, **body)

    def field(self, name: str) -> Any:
        return self.order_field(self.checkout, name)

    def becomes(self, name: str, value: Any) -> None:
        """Wait until the order has this value."""
        wait_until(lambda: self.field(name) == value, TIMEOUT_S, f"{name} {value}")

    def dispute(self, status: str, *, becomes: str, **details: Any) -> None:
        """Open a dispute or move it to a status, and wait until the order shows it."""
        if status == "opened":
            self.system.stripe.open_dispute(self.session_id, **details)
        else:
            self.system.stripe.advance_dispute(self.session_id, status, **details)
        self.becomes("dispute_status", becomes)

    @property
    def refundable(self) -> int:
        [payment] = self.field("payments")
        return int(payment["amount_refundable"])

    def offers(self, amount: int) -> None:
        """Wait until operators read that so much can be refunded, and check that they cannot refund more."""
        wait_until(lambda: self.refundable == amount, TIMEOUT_S, f"{amount} refundable")
        answer = self.act("refunds", amount=amount + 1)
        assert (answer.status_code, answer.json()["refundable"]) == (422, amount)


@pytest.mark.parametrize(
    ("refunded", "disputed", "rest"),
    [
        pytest.param(0, None, 1000, id="all"),
        pytest.param(1000, None, 1000, id="what was not refunded"),
        pytest.param(1000, "all", 0, id="all, though a part was refunded"),
        pytest.param(0, 2500, None, id="a part"),
    ],
)
def test_refund_after_a_partly_lost_dispute_is_the_rest(
    system: System, reconcile: Reconcile, refunded: int, disputed: str | int | None, rest: int | None
) -> None:
    """A bank can claim what was refunded before: support.stripe.com, "Dispute for full charge amount after a …"."""
    case = Case(system, "partly lost")
    if refunded:
        system.stripe.refund(case.session_id, amount=refunded)
        case.becomes("amount_refunded", refunded)
    claimed = case.total if disputed == "all" else disputed
    case.dispute("opened", becomes="open", **({"amount": claimed} if claimed else {}))
    case.dispute("lost", becomes="lost", reinstated=1000)
    expected = case.total - 1500 if rest is None else rest
    assert "A part of the money came back to you" in case.text("staff_dispute_closed")
    case.offers(expected)
    answer = case.act("refunds", all=True)
    if not expected:
        assert answer.json()["type"].endswith("refund-exceeds-payment")
        return
    assert (answer.status_code, answer.json()["amount"], answer.json()["status"]) == (201, expected, "succeeded")
    case.offers(0)
    read = case.last_text("refund_succeeded", money(expected, "en"))
    assert f"We have refunded {money(expected, 'en')} of what you paid" in read
    assert f"Refunded so far: {money(refunded + expected, 'en')}" in read
    assert case.field("refund_status") == "partial"
    assert reconcile(case.checkout) == []


def test_chargeback_of_a_part_blocks_every_refund_until_it_ends(system: System) -> None:
    case = Case(system, "part disputed")
    case.dispute("opened", becomes="inquiry", amount=1500, inquiry=True)
    case.offers(case.total)
    assert case.act("refunds", amount=500).status_code == 201, "an inquiry moves no money"
    case.dispute("needs_response", becomes="open")
    assert case.refundable == 0
    before = case.field("refund_requests")
    for body in ({"amount": 1}, {"all": True}):
        answer = case.act("refunds", **body)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:clozit:problem:order-disputed")
    assert case.field("refund_requests") == before
    with pytest.raises(StripeError, match="charged back"):
        system.stripe.refund(case.session_id, amount=1)
    case.dispute("won", becomes="won")
    case.offers(case.total - 500)


def test_lost_dispute_that_the_cardholder_withdraws_is_won(system: System) -> None:
    case = Case(system, "withdrawn")
    case.dispute("opened", becomes="open")
    case.dispute("lost", becomes="lost")
    assert "Do not refund this amount as well" in case.text("staff_dispute_closed")
    case.offers(0)
    case.dispute("won", becomes="won")
    won = case.last_text("staff_dispute_closed", "in your favor")
    assert "The bank holds none of it" in won
    [dispute] = case.field("disputes")
    assert (dispute["status"], dispute["amount_held"]) == ("won", 0)
    case.offers(case.total)
    assert case.act("refunds", all=True).json()["amount"] == case.total
    assert "everything back" in case.text("refund_succeeded")


def test_dispute_in_the_currency_of_the_payout_frees_its_part(system: System) -> None:
    """The shop's payouts are in dollars, so the bank's movements are, too."""
    case = Case(system, "dollars")
    stripe_of(system).add_fault("not_created", type="charge.dispute.*", count=4)
    dispute = system.stripe.open_dispute(case.session_id)
    system.stripe.advance_dispute(case.session_id, "lost", reinstated=1000)
    moved = [
        movement | {"amount": round(movement["amount"] * RATE), "currency": "usd", "exchange_rate": RATE}
        for movement in dispute["balance_transactions"]
    ]
    for type_, status, count in (("funds_withdrawn", "needs_response", 1), ("closed", "lost", 2)):
        changes = {"status": status, "balance_transactions": moved[:count]}
        body = {"type": f"charge.dispute.{type_}", "object_id": dispute["id"], "overrides": changes}
        http.post(f"{stripe_of(system).url}/_control/trigger", json=body).raise_for_status()
    case.becomes("dispute_status", "lost")
    case.offers(1000)
    assert money(case.total - 1000, "en") in case.text("staff_dispute_closed")
    assert case.act("refunds", all=True).json()["status"] == "succeeded"


@pytest.mark.parametrize("status", ["", "in_transit"])
def test_refund_with_an_unknown_status_counts_as_under_way(system: System, reconcile: Reconcile, status: str) -> None:
    case = Case(system, "unknown status")
    system.stripe.queue_refund_status(status)
    answer = case.act("refunds", amount=1000)
    assert (answer.status_code, answer.json()["status"]) == (201, status or "unknown")
    assert case.field("amount_refunded") == 0
    case.offers(case.total - 1000)
    texts = [entry["text"] for entry in case.field("timeline")]
    reported = f"an unknown status ({status})" if status else "no status"
    assert any(
        f"Stripe reports {reported} for the refund of 10.00 EUR. It counts as under way" in text for text in texts
    )
    assert reconcile(case.checkout) == []


def test_refused_refund_of_a_review_is_shown_and_mailed(system: System, reconcile: Reconcile) -> None:
    """The bank's dispute is not known yet when an operator decides, because its event got lost."""
    case = Case(system, "refused")
    system.stripe.warn(case.session_id)
    case.becomes("needs_review", True)
    stripe_of(system).add_fault("not_created", type="charge.dispute.*", count=2)
    system.stripe.open_dispute(case.session_id)
    answer = case.act("review", decision="refund")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:clozit:problem:refund-refused")
    staff = case.text("staff_refund_failed")
    assert "Stripe has refused the refund" in staff
    assert "has been charged back" in staff
    assert any("Stripe refused" in entry["text"] for entry in case.field("timeline"))
    assert (case.field("amount_refunded"), case.field("needs_review")) == (0, False)
    assert [each["kind"] for each in reconcile(case.checkout, "--repair")] == ["dispute-missing"]
    case.becomes("dispute_status", "open")
    assert "is disputed at the customer's bank" in case.text("staff_dispute_opened")
    assert case.refundable == 0


def test_lost_end_of_a_dispute_is_found_and_repaired(system: System, reconcile: Reconcile) -> None:
    case = Case(system, "lost end")
    case.dispute("opened", becomes="open")
    stripe_of(system).add_fault("not_created", type="charge.dispute.*", count=2)
    system.stripe.advance_dispute(case.session_id, "lost", reinstated=1000)
    found = [each["kind"] for each in reconcile(case.checkout, "--repair")]
    assert found == ["dispute-status", "dispute-funds"]
    case.becomes("dispute_status", "lost")
    case.offers(1000)
    assert "A part of the money came back to you" in case.text("staff_dispute_closed")
    assert reconcile(case.checkout) == []


def test_policy_leaves_reasons_that_it_does_not_name_to_people(system: System) -> None:
    other, both, named = (Case(system, name) for name in ("other", "both", "named"))
    for case in (other, both):
        system.stripe.warn(case.session_id)
        case.becomes("review_reason", "early-fraud-warning")
    system.stripe.open_review(both.session_id)
    wait_until(lambda: len(both.field("reviews")) == 2, TIMEOUT_S, "both reviews")
    system.stripe.open_review(named.session_id)
    named.becomes("refund_status", "full")
    for case in (other, both):
        assert (case.field("needs_review"), case.field("refund_requests")) == (True, [])
        case.last_text("staff_review_opened", "The card's bank suspects fraud")
        assert case.mails("staff_review_resolved") == []


def test_accepted_review_is_no_difference(system: System, reconcile: Reconcile) -> None:
    path = "/catalog/shipping-options/domestic"
    option = {"name": "Domestic", "amounts": {"eur": 300}, "min_days": 1, "max_days": 2, "countries": ["DE"]}
    system.operate("PUT", "checkout", path, option).raise_for_status()
    shopper = Shopper(system, "abroad")
    checkout = shopper.start_checkout({TEE: 1}, shipping_option="domestic")
    system.stripe.pay(checkout["session_id"], "card", shopper.email, country="FR")
    reason = lambda: shopper.order_field(checkout, "review_reason")  # noqa: E731 - a look
    wait_until(lambda: reason() == "amount-mismatch", TIMEOUT_S)
    assert reconcile(checkout) == []
    assert shopper.operate(checkout, "review", decision="accept").status_code == 200
    assert shopper.order_field(checkout, "needs_review") is False
    assert reconcile(checkout) == []


def test_refund_with_restock_that_fails_later_is_taken_back(system: System) -> None:
    case = Case(system, "fails later")
    before = case.stock(TEE)
    answer = case.act("refunds", lines=[{"sku": TEE, "quantity": 1}], restock=True)
    assert answer.json()["status"] == "succeeded"
    wait_until(lambda: case.stock(TEE).on_hand == before.on_hand + 1, TIMEOUT_S, "the piece in stock")
    case.mail("refund_succeeded")
    assert case.field("pieces_owed") == 1
    system.stripe.advance_refund(case.field("refunds")[0]["id"], "failed")
    case.becomes("pieces_owed", 2)
    wait_until(lambda: case.stock(TEE).on_hand == before.on_hand, TIMEOUT_S, "the piece owed again")
    assert "could not send you" in case.text("refund_failed")
    assert "did not reach the customer" in case.text("staff_refund_failed")
    case.offers(case.total)
