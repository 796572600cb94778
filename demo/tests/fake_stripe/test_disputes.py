from typing import Any

import pytest
import stripe

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession


@pytest.fixture
def paid(fake: FakeStripe, create_session: CreateSession) -> str:
    session = create_session()
    fake.pay(session.id)
    assert fake.wait_event("charge.updated")  # the charge's fee is booked
    return str(session.id)


def dispute_events(fake: FakeStripe) -> list[str]:
    return [event["type"].removeprefix("charge.dispute.") for event in fake.events("charge.dispute.*")]


def test_chargeback_takes_the_money_and_a_win_returns_it(fake: FakeStripe, paid: str) -> None:
    before = fake.ledger["totals"]["eur"]["balance"]
    opened = fake.open_dispute(paid)
    assert (opened["status"], opened["is_charge_refundable"]) == ("needs_response", False)
    assert fake.ledger["totals"]["eur"] | {"balance": 0} == {
        "charged": 5738,
        "refunded": 0,
        "disputed": 5738,
        "balance": 0,
    }
    assert fake.ledger["totals"]["eur"]["balance"] == before - 5738 - 2000
    fake.advance_dispute(paid, "under_review")
    fake.advance_dispute(paid, "won")
    assert fake.ledger["totals"]["eur"]["balance"] == before
    assert dispute_events(fake) == ["created", "funds_withdrawn", "updated", "funds_reinstated", "closed"]
    assert fake.refund(paid)["amount"] == 5738


@pytest.mark.parametrize(("words", "ending"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
def test_evidence_decides_the_dispute(
    client: stripe.StripeClient, fake: FakeStripe, paid: str, words: str, ending: str
) -> None:
    dispute = fake.open_dispute(paid, reason="fraudulent")
    staged = client.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": words}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = client.v1.disputes.update(dispute["id"], {"evidence": {"customer_name": "Zoë"}, "submit": True})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    assert fake.wait_event("charge.dispute.closed")
    assert client.v1.disputes.retrieve(dispute["id"]).status == ending
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        client.v1.disputes.update(dispute["id"], {"metadata": {"late": "yes"}})


def test_dispute_covers_only_the_unrefunded_amount(fake: FakeStripe, paid: str) -> None:
    fake.refund(paid, amount=1999)
    assert fake.open_dispute(paid)["amount"] == 3739
    with pytest.raises(StripeError, match="cannot be disputed"):
        fake.open_dispute(paid)


def test_closed_dispute_frees_what_the_bank_does_not_hold(fake: FakeStripe, paid: str) -> None:
    fake.open_dispute(paid, amount=3000)
    with pytest.raises(StripeError, match="charged back"):
        fake.refund(paid, amount=1)
    fake.advance_dispute(paid, "lost", reinstated=1000)
    with pytest.raises(StripeError, match="unrefunded amount"):
        fake.refund(paid, amount=3739)
    assert fake.refund(paid)["amount"] == 3738
    with pytest.raises(StripeError, match="charged back"):
        fake.refund(paid, amount=1)


def test_dispute_of_the_full_amount_after_a_refund_frees_nothing(fake: FakeStripe, paid: str) -> None:
    fake.refund(paid, amount=1000)
    fake.open_dispute(paid, amount=5738)
    fake.advance_dispute(paid, "lost", reinstated=1000)
    with pytest.raises(StripeError, match="charged back"):
        fake.refund(paid)


def test_inquiry_moves_no_money_until_it_escalates(fake: FakeStripe, create_session: CreateSession) -> None:
    session = create_session()
    fake.pay(session.id, "inquiry")
    assert fake.wait_event("charge.dispute.created")
    (inquiry,) = fake.ledger["disputes"]
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    assert inquiry["payment_method_details"]["card"]["case_type"] == "inquiry"
    assert fake.ledger["totals"]["eur"]["disputed"] == 0
    fake.advance_dispute(session.id, "warning_under_review")
    fake.advance_dispute(session.id, "needs_response")
    assert fake.ledger["totals"]["eur"]["disputed"] == 5738
    fake.advance_dispute(session.id, "lost")
    assert dispute_events(fake) == ["created", "updated", "updated", "funds_withdrawn", "closed"]


@pytest.mark.parametrize("how", ["refund", "close"])
def test_inquiry_is_closed_by_a_refund_or_by_the_shop(
    client: stripe.StripeClient, fake: FakeStripe, paid: str, how: str
) -> None:
    inquiry = fake.open_dispute(paid, inquiry=True)
    answers: dict[str, Any] = {
        "refund": lambda: fake.refund(paid),
        "close": lambda: client.v1.disputes.close(inquiry["id"]),
    }
    answers[how]()
    assert client.v1.disputes.retrieve(inquiry["id"]).status == "warning_closed"
    assert dispute_events(fake) == ["created", "closed"]
    with pytest.raises(StripeError, match="cannot become won"):
        fake.advance_dispute(paid, "won")


def test_lost_dispute_is_appealed_with_a_new_deadline(fake: FakeStripe, paid: str) -> None:
    opened = fake.open_dispute(paid)
    due = opened["evidence_details"]["due_by"]
    fake.advance_dispute(paid, "lost", reinstated=1000)
    assert fake.ledger["totals"]["eur"]["disputed"] == 4738
    fake.advance(3600)
    appealed = fake.advance_dispute(paid, "appeal_needs_response")
    assert appealed["evidence_details"]["due_by"] > due
    fake.advance_dispute(paid, "appeal_under_review")
    fake.advance_dispute(paid, "won")
    assert fake.ledger["totals"]["eur"]["disputed"] == 0
    assert dispute_events(fake)[2:] == [
        "funds_reinstated",
        "closed",
        "updated",
        "updated",
        "funds_reinstated",
        "closed",
    ]


def test_radar_reviews_a_payment_and_the_bank_warns(fake: FakeStripe, paid: str) -> None:
    fake.open_review(paid)
    closed = fake.close_review(paid, "approved")
    assert (closed["open"], closed["closed_reason"]) == (False, "approved")
    assert fake.warn(paid)["actionable"]
    assert [event["type"] for event in fake.events("re?iew.*")] == ["review.opened", "review.closed"]
    assert len(fake.events("radar.early_fraud_warning.created")) == 1
