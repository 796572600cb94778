"""Odd details in Stripe's objects: no payment, refund or dispute is lost because of one."""

from collections.abc import Callable
from typing import Any

import pytest
from events.errors import DecodeError
from events.messaging.event import Event
from events.testing.fixtures import MakeDatabase
from events.testing.odd_values import odd_variants
from events.testing.stripe import charge, dispute, payment_intent, refund
from orders.chains import CHAINS
from orders.models.orders import Order, OrderStatus
from orders.stripe_objects import StripeObject
from sqlalchemy import select

from services.orders.tests.harness import OrdersService, Purchase

ADDRESS = {"line1": "Alte Allee 1", "line2": None, "city": "Berlin", "postal_code": "10115", "country": "DE"}
RECIPIENT = {"name": "Zoë Müller", "address": ADDRESS}
SESSION: dict[str, Any] = {
    "collected_information": {"shipping_details": RECIPIENT},
    "shipping_details": RECIPIENT,
    "shipping": RECIPIENT,
    "consent": {"promotions": "opt_in"},
    "customer_details": {"email": "zoe@example.com", "name": "Zoë Müller", "phone": "+49 30", "address": ADDRESS},
    "locale": "de-AT",
    "recovered_from": "cs_expired",
    "payment_method_types": ["card", "sepa_debit"],
    "presentment_details": {"presentment_amount": 6200, "presentment_currency": "usd"},
    "shipping_cost": {"amount_total": 490, "amount_subtotal": 490, "amount_tax": 0},
    "url": "https://checkout.stripe.com/c/pay/cs_1",
    "after_expiration": {"recovery": {"enabled": True, "url": "https://buy.stripe.com/r/test_1"}},
}
VOUCHER = {"hosted_voucher_url": "https://payments.stripe.com/voucher/1", "expires_after": 1_793_700_000}
ERROR = {"charge": "ch_declined", "code": "card_declined", "decline_code": "do_not_honor", "message": "Declined."}
INTENT = payment_intent(
    None,
    last_payment_error=ERROR,
    next_action={"type": "oxxo_display_details", "oxxo_display_details": VOUCHER},
)
CHARGE = charge(
    None,
    amount_refunded=1000,
    failure_code="card_declined",
    failure_message="Declined.",
    outcome={"reason": "do_not_honor"},
    payment_method_details={"type": "sepa_debit"},
    refunds={"data": [refund(id="re_listed")]},
)
REFUND = refund(
    failure_reason="unknown",
    presentment_details={"presentment_amount": 1100, "presentment_currency": "usd"},
    reason="requested_by_customer",
)
MOVEMENT = {"id": "txn_1", "amount": -5738, "created": 1_793_700_000, "currency": "eur"}
DISPUTE = dispute(balance_transactions=[MOVEMENT])
REVIEW = {"id": "prv_1", "object": "review", "open": False, "opened_reason": "rule", "closed_reason": "refunded"}
WARNING = {"id": "issfr_1", "object": "radar.early_fraud_warning", "actionable": True, "fraud_type": "misc"}
IDENTITY = ("id", "metadata", "payment_intent", "amount", "amount_total")  # whose money, and how much


@pytest.fixture
def postgres_service(postgres_database: MakeDatabase) -> OrdersService:
    return OrdersService(postgres_database(CHAINS))


def test_paid_session_with_an_odd_detail_pays_its_order(postgres_service: OrdersService) -> None:
    events: list[Event] = []
    variants, session = {}, Purchase("chk_odd").completed(**SESSION).object
    for number, (description, odd) in enumerate(odd_variants(session, (*IDENTITY, "payment_status"))):
        purchase = Purchase(f"chk_odd_{number}")
        variants[purchase.checkout_id] = description
        details = {name: odd[name] for name in odd if name not in IDENTITY}
        events += [purchase.started(), purchase.completed(**details)]
    postgres_service.deliver_together(*events)
    assert postgres_service.unfinished() == []
    with postgres_service.database.read() as session_:
        unpaid = session_.scalars(select(Order.checkout_id).where(Order.status != OrderStatus.PAID)).all()
    assert [variants[checkout_id] for checkout_id in unpaid] == []


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        ("checkout.session.expired", Purchase("chk_odd").completed(**SESSION).object),
        ("checkout.session.completed", Purchase("chk_odd").completed(**SESSION).object),
        ("payment_intent.succeeded", INTENT),
        ("payment_intent.payment_failed", INTENT),
        ("payment_intent.requires_action", INTENT),
        ("charge.pending", CHARGE),
        ("charge.failed", CHARGE),
        ("charge.refunded", CHARGE),
        ("refund.updated", REFUND),
        ("charge.dispute.funds_withdrawn", DISPUTE),
        ("review.closed", REVIEW),
        ("radar.early_fraud_warning.created", WARNING),
    ],
)
def test_event_with_an_odd_detail_is_handled(postgres_service: OrdersService, kind: str, obj: StripeObject) -> None:
    events: list[Event] = []
    for number, (_, odd) in enumerate(odd_variants(obj, IDENTITY)):
        purchase = Purchase(f"chk_odd_{number}")
        events += [purchase.started(), with_ids(purchase, kind, odd)]
    postgres_service.deliver_together(*events)
    assert postgres_service.unfinished() == []


def with_ids(purchase: Purchase, kind: str, odd: StripeObject) -> Event:
    """Return an event about an odd object, with the ids of the purchase."""
    ids = {"payment_intent": purchase.intent, "metadata": {"checkout_id": purchase.checkout_id}}
    own = {"checkout.session": purchase.session_id, "payment_intent": purchase.intent}
    object_id = own.get(kind.rpartition(".")[0], f"{odd['id']}_{purchase.checkout_id}")
    return purchase.stripe(kind, {**odd, **ids, "id": object_id})


@pytest.mark.parametrize("odd", ["x" * 256, 7, True, ["pi_1"], {"object": "payment_intent"}])
@pytest.mark.parametrize("name", ["id", "payment_intent"])
def test_odd_id_is_refused_with_its_name(service: OrdersService, purchase: Purchase, name: str, odd: Any) -> None:
    event = purchase.stripe("checkout.session.completed", {**purchase.completed().object, name: odd})
    with pytest.raises(DecodeError, match=f"{name} is not a text"):
        service.deliver(purchase.started(), event)


@pytest.mark.parametrize(
    "details",
    [
        {"recovered_from": "cs_" + "x" * 300},
        {"customer_details": "zoe@example.com"},
        {"customer_details": {"email": "x" * 321, "name": 7, "address": {"country": "DEU"}}},
        {"locale": "a-locale-of-many-characters"},
        {"total_details": [], "shipping_details": ["Berlin"], "presentment_details": True},
        {"expires_at": "1793700000", "livemode": 0, "amount_subtotal": "5248"},
    ],
)
def test_odd_details_together_still_pay_the_order(
    postgres_service: OrdersService, purchase: Purchase, details: dict[str, Any]
) -> None:
    assert postgres_service.deliver(purchase.started(), purchase.completed(**details)) == ["done", "done"]
    assert postgres_service.order().status == "paid"


@pytest.mark.parametrize("odd", ["57.38", True, [], 10**18, 0.5])
def test_odd_amount_is_refused(service: OrdersService, purchase: Purchase, odd: Any) -> None:
    with pytest.raises(DecodeError, match="amount_total is not an amount"):
        service.deliver(purchase.started(), purchase.completed(amount_total=odd))


def test_details_with_a_clear_meaning_are_kept(service: OrdersService, purchase: Purchase) -> None:
    changes: dict[str, Any] = {"livemode": 0, "amount_total": "5738", "payment_intent": {"id": purchase.intent}}
    service.deliver(purchase.started(), purchase.completed(**changes))
    order = service.order()
    assert (order.status, order.amount_paid, order.payment_intent) == ("paid", 5738, purchase.intent)
    assert not order.needs_review


def test_changed_details_are_logged_by_name(
    service: OrdersService, purchase: Purchase, logged: Callable[[], str]
) -> None:
    details = {"email": "x" * 321, "name": "Zoë", "address": "Berlin"}
    service.deliver(purchase.started(), purchase.completed(customer_details=details, recovered_from=7))
    assert (service.order().customer_email, service.order().customer_name) == (None, "Zoë")
    text = logged()
    assert "odd details of a stripe object were changed or left out" in text
    assert "customer_details" in text
    assert "recovered_from" in text
