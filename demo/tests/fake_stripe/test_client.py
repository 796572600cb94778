"""The client of a fake Stripe in another process does what the fake itself does."""

import pytest

from demo.fake_stripe.client import FakeStripeClient, Stripe
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession


@pytest.fixture(params=["in this process", "over HTTP"])
def either(request: pytest.FixtureRequest, fake: FakeStripe) -> Stripe:
    """The fake itself, or a client of it."""
    return fake if request.param == "in this process" else FakeStripeClient(fake.url)


def test_debit_settles_and_is_refunded(either: Stripe, create_session: CreateSession) -> None:
    session_id = str(create_session().id)
    assert either.pay(session_id, "sepa_success", "anna@example.com").endswith(session_id)
    assert either.session(session_id)["payment_status"] == "unpaid"
    assert either.settle(session_id)
    assert not either.settle(session_id)
    assert either.session(session_id)["payment_status"] == "paid"
    assert either.refund(session_id, amount=100)["status"] == "pending"
    assert [refund["amount"] for refund in either.ledger["refunds"]] == [100]
    assert [line["quantity"] for line in either.line_items(session_id)] == [2, 1]


def test_dispute_is_opened_then_won(either: Stripe, create_session: CreateSession) -> None:
    session_id = str(create_session().id)
    either.pay(session_id)
    assert either.open_dispute(session_id, reason="fraudulent")["status"] == "needs_response"
    assert either.advance_dispute(session_id, "won")["status"] == "won"


def test_expired_session_is_recovered(either: Stripe, create_session: CreateSession) -> None:
    session_id = str(create_session(after_expiration={"recovery": {"enabled": True}}).id)
    assert either.expire(session_id)["status"] == "expired"
    assert either.recover(session_id)["recovered_from"] == session_id


def test_declined_card_raises_stripes_error(either: Stripe, create_session: CreateSession) -> None:
    with pytest.raises(StripeError, match="declined") as raised:
        either.pay(str(create_session().id), "decline")
    assert raised.value.status == 402
