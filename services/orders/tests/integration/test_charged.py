"""The charged amounts of an order, the voucher of a delayed payment, and the stock of a recovered cart."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from orders.chains import CHAINS
from orders.models.orders import Order
from orders.models.payments import Payment, PaymentStatus
from orders.payments import record_charged
from prometheus_client.parser import text_string_to_metric_families

from services.orders.tests.harness import NOW, OPERATOR, OrdersService, Purchase, post

TAXED: dict[str, Any] = {
    "amount_subtotal": 5248,
    "amount_total": 6828,
    "total_details": {"amount_tax": 1090, "amount_shipping": 490},
}
CHARGED = {
    "currency": "eur",
    "amount_subtotal": 5248,
    "amount_discount": 0,
    "amount_shipping": 490,
    "amount_tax": 1090,
    "tax_included": False,
    "amount_total": 6828,
    "presentment_currency": None,
    "presentment_amount": None,
}
VOUCHER = {
    "type": "oxxo_display_details",
    "oxxo_display_details": {
        "hosted_voucher_url": "https://payments.stripe.com/oxxo/1",
        "expires_after": 1_790_000_000,
    },
}
TRANSFER = {
    "type": "display_bank_transfer_instructions",
    "display_bank_transfer_instructions": {"hosted_instructions_url": "https://payments.stripe.com/bank/1"},
}

QR_CODES = (  # Stripe's actions that have hosted_instructions_url, too
    "cashapp_handle_redirect_or_display_qr_code",
    "paynow_display_qr_code",
    "pix_display_qr_code",
    "promptpay_display_qr_code",
    "swish_handle_redirect_or_display_qr_code",
    "upi_handle_redirect_or_display_qr_code",
    "wechat_pay_display_qr_code",
)


@pytest.mark.parametrize("kind", ["orders.order.paid", "orders.payment.pending", "orders.payment.failed"])
def test_every_event_after_the_session_has_what_was_charged(
    service: OrdersService, purchase: Purchase, client: FlaskClient, kind: str
) -> None:
    unpaid = purchase.session("completed", "unpaid", payment_status="unpaid", **TAXED)
    later = {
        "orders.order.paid": purchase.session("async_payment_succeeded", **TAXED),
        "orders.payment.failed": purchase.session("async_payment_failed", payment_status="unpaid", **TAXED),
    }
    service.deliver(purchase.started(), unpaid, *([later[kind]] if kind in later else []))
    (data,) = service.data_of(kind)
    assert data["charged"] == CHARGED
    assert (data["amount_total"], data["amount_paid"]) == (5738, 6828 if kind == "orders.order.paid" else 0)
    page = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert {name: page[name] for name in CHARGED} == CHARGED
    rows = client.get("/orders", headers=OPERATOR).get_json()["items"]
    assert [row["charged"] for row in rows] == [CHARGED]


def test_open_order_shows_what_was_agreed(service: OrdersService, purchase: Purchase, client: FlaskClient) -> None:
    service.deliver(purchase.started())
    page = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert (page["amount_total"], page["amount_tax"], page["tax_included"]) == (5738, 0, False)


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 10**5), st.integers(0, 10**5)
)
def test_tax_is_included_only_if_all_of_it_is_within_the_total(
    subtotal: int, discount: int, shipping: int, included: int, added: int
) -> None:
    payment = Payment(id="pi_1", status=PaymentStatus.PENDING, currency="eur")
    payment.amount = subtotal - discount + shipping + added
    details = {"amount_tax": included + added, "amount_discount": discount, "amount_shipping": shipping}
    record_charged(payment, {"amount_subtotal": subtotal, "amount_total": payment.amount, "total_details": details})
    charged = payment.charged
    assert charged is not None
    before_tax = charged["amount_subtotal"] - charged["amount_discount"] + charged["amount_shipping"]
    assert charged["amount_total"] - before_tax == added
    assert charged["tax_included"] == (added == 0)


def test_currency_of_the_statement_is_published(service: OrdersService, purchase: Purchase) -> None:
    presentment = {"presentment_currency": "jpy", "presentment_amount": 7332}
    service.deliver(purchase.started(), purchase.completed(presentment_details=presentment))
    (data,) = service.data_of("orders.order.paid")
    assert (data["charged"]["presentment_currency"], data["charged"]["presentment_amount"]) == ("jpy", 7332)


@pytest.mark.parametrize(("action", "method"), [(VOUCHER, "oxxo"), (TRANSFER, "bank_transfer")])
@pytest.mark.parametrize("is_late", [False, True])
def test_voucher_is_published_whenever_stripe_reports_it(
    service: OrdersService,
    purchase: Purchase,
    client: FlaskClient,
    action: dict[str, Any],
    method: str,
    is_late: bool,
) -> None:
    requires_action = purchase.requires_action(action)
    both = [purchase.unpaid(), requires_action] if is_late else [requires_action, purchase.unpaid()]
    assert service.deliver(purchase.started(), *both, requires_action) == ["done", "done", "done", "duplicate"]
    published = service.data_of("orders.payment.pending")
    assert [data["payment_method"] for data in published] == ([None, method] if is_late else [method])
    assert published[-1]["voucher_url"] == next(iter(action[action["type"]].values()))
    assert (published[-1]["voucher_expires_at"] is not None) == (method == "oxxo")
    assert client.get(f"/orders/by-session/{purchase.session_id}").get_json()["has_instructions"]
    service.deliver(purchase.async_succeeded())
    assert not client.get(f"/orders/by-session/{purchase.session_id}").get_json()["has_instructions"]


@pytest.mark.parametrize("is_early", [False, True])
def test_bank_debit_is_known_from_its_charge(service: OrdersService, purchase: Purchase, is_early: bool) -> None:
    events = [purchase.charge_pending("sepa_debit"), purchase.unpaid()]
    service.deliver(purchase.started(), *(events if is_early else events[::-1]))
    (payment,) = service.order().payments
    assert (payment.payment_method, payment.status) == ("sepa_debit", "pending")
    (data,) = service.data_of("orders.payment.pending")
    assert (data["payment_method"], data["voucher_url"]) == ("sepa_debit" if is_early else None, None)


def test_card_authentication_is_no_instruction(service: OrdersService, purchase: Purchase) -> None:
    challenge = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/1"}}
    assert service.deliver(purchase.started(), purchase.requires_action(challenge)) == ["done", "ignored"]


@pytest.mark.parametrize("kind", QR_CODES)
def test_code_to_scan_is_no_bank_transfer(
    service: OrdersService, purchase: Purchase, client: FlaskClient, kind: str
) -> None:
    code = {"type": kind, kind: {"hosted_instructions_url": "https://payments.stripe.com/qr/1", "expires_at": 1}}
    facts = [purchase.requires_action(code), purchase.charge_pending("us_bank_account"), purchase.unpaid()]
    assert service.deliver(purchase.started(), *facts) == ["done", "ignored", "done", "done"]
    (data,) = service.data_of("orders.payment.pending")
    assert (data["payment_method"], data["voucher_url"]) == ("us_bank_account", None)
    page = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert (page["payment_method"], page["has_instructions"]) == ("us_bank_account", False)


@pytest.mark.parametrize("action", [VOUCHER, TRANSFER])
def test_charge_replaces_instructions_of_another_method(
    sqlite_database: MakeDatabase, purchase: Purchase, action: dict[str, Any]
) -> None:
    facts = [purchase.requires_action(action), purchase.requires_action(action, "again"), purchase.unpaid()]
    for order in itertools.permutations([*facts, purchase.charge_pending("us_bank_account")]):
        service = OrdersService(sqlite_database(CHAINS))
        service.deliver(purchase.started(), *order)
        (payment,) = service.order().payments
        found = payment.payment_method, payment.voucher_url, payment.voucher_expires_at
        assert found == ("us_bank_account", None, None), [event.type for event in order]


@pytest.mark.parametrize(("action", "method"), [(VOUCHER, "oxxo"), (TRANSFER, "customer_balance")])
def test_charge_of_the_same_method_keeps_the_instructions(
    sqlite_database: MakeDatabase, purchase: Purchase, action: dict[str, Any], method: str
) -> None:
    for order in itertools.permutations([purchase.requires_action(action), purchase.charge_pending(method)]):
        service = OrdersService(sqlite_database(CHAINS))
        service.deliver(purchase.started(), purchase.unpaid(), *order)
        (payment,) = service.order().payments
        assert payment.voucher_url == next(iter(action[action["type"]].values()))


def test_voucher_after_the_payment_is_not_published(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(
        purchase.started(), purchase.unpaid(), purchase.async_succeeded(), purchase.requires_action(VOUCHER)
    )
    assert [data["payment_method"] for data in service.data_of("orders.payment.pending")] == [None]


@pytest.mark.parametrize("stock", ["committed", "oversold"])
def test_recovered_order_waits_for_its_stock_in_any_order(sqlite_database: MakeDatabase, stock: str) -> None:
    for number, permutation in enumerate(itertools.permutations(("expired", "recovered", stock))):
        service, purchase = OrdersService(sqlite_database(CHAINS)), Purchase(f"chk_{number}")
        ids = {"id": "cs_2", "payment_intent": "pi_2", "recovered_from": purchase.session_id}
        events = {"recovered": purchase.completed("recovered", **ids), "expired": purchase.expired()}
        service.deliver(purchase.started())
        for name in permutation:
            before = service.published_types(purchase.checkout_id)
            assert "orders.order.paid" not in before or stock == "committed"
            service.deliver(events.get(name) or purchase.named(name))
        order: Order = service.order(purchase.checkout_id)
        assert order.status == "paid"
        is_confirmed = "orders.order.paid" in service.published_types(purchase.checkout_id)
        assert (is_confirmed, order.needs_review) == ((True, False) if stock == "committed" else (False, True))


@pytest.mark.parametrize("fact", ["completed", "async_succeeded"])
@pytest.mark.parametrize("stock", ["committed", "oversold"])
def test_late_payment_of_an_ordinary_cart_waits_for_its_stock(service: OrdersService, fact: str, stock: str) -> None:
    """Its event comes after the session's end, when the pieces may be for sale again."""
    for number, is_first in enumerate((True, False)):
        purchase = Purchase(f"chk_{number}")
        received_at = (NOW + timedelta(minutes=31)).isoformat()
        paid = purchase.named(fact)
        late = replace(paid, headers={**paid.headers, "received_at": received_at})
        facts = [late, purchase.named(stock)]
        service.deliver(purchase.started(), *(facts if is_first else facts[::-1])[:1])
        assert "orders.order.paid" not in service.published_types(purchase.checkout_id)
        service.deliver(*facts)
        confirmed = "orders.order.paid" in service.published_types(purchase.checkout_id)
        assert (confirmed, service.order(purchase.checkout_id).needs_review) == (
            (True, False) if stock == "committed" else (False, True)
        )


@pytest.mark.parametrize(("subject", "why"), [("duplicate", "duplicate-payment"), ("oversold", "oversold")])
def test_refund_of_a_review_says_why(
    service: OrdersService, purchase: Purchase, client: FlaskClient, subject: str, why: str
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    again = {"id": "cs_2", "payment_intent": "pi_2"}
    service.deliver(purchase.completed("again", **again) if subject == "duplicate" else purchase.oversold())
    answer = post(client, service, "review", decision="refund")
    assert answer.status_code == 200
    (data,) = service.data_of("orders.refund.succeeded")
    assert data["review_reason"] == why
    assert (data["amount_paid"], data["amount_refunded"]) == (11476 if subject == "duplicate" else 5738, 5738)


def test_key_of_an_operator_is_never_taken_for_a_review(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    """A review of the order did end in a refund, so a reason would be found."""
    service.deliver(purchase.started(), purchase.completed())
    service.deliver(purchase.completed("again", id="cs_2", payment_intent="pi_2"))
    assert post(client, service, "review", decision="refund").status_code == 200
    assert post(client, service, "refunds", f"rev_{purchase.intent}", amount=100).status_code == 201
    assert post(client, service, "refunds", f"rev_1 {purchase.intent}", amount=100).status_code == 422
    reasons = [data["review_reason"] for data in service.data_of("orders.refund.succeeded")]
    assert reasons == ["duplicate-payment", None]


@pytest.mark.parametrize("is_late", [False, True])
def test_refunded_duplicate_confirms_a_recovered_order(
    service: OrdersService, purchase: Purchase, client: FlaskClient, is_late: bool
) -> None:
    recovered = {"recovered_from": purchase.session_id}
    service.deliver(purchase.started(), purchase.completed("2", id="cs_2", payment_intent="pi_2", **recovered))
    service.deliver(purchase.completed("3", id="cs_3", payment_intent="pi_3", **recovered))
    if not is_late:
        service.deliver(purchase.committed())
    answer = post(client, service, "review", decision="refund")
    assert answer.status_code == 200
    if is_late:
        service.deliver(purchase.committed())
    assert service.published_types().count("orders.order.paid") == 1


def test_recovered_order_that_a_review_refunded_is_not_confirmed(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    ids = {"id": "cs_2", "payment_intent": "pi_2", "recovered_from": purchase.session_id}
    service.deliver(purchase.started(), purchase.completed(amount_total=1000, **ids))
    answer = post(client, service, "review", decision="refund")
    assert answer.status_code == 200
    service.deliver(purchase.committed())
    assert "orders.order.paid" not in service.published_types()


def waiting_orders(client: FlaskClient) -> tuple[float, float]:
    """Return how many orders wait for their stock, and since when the oldest does, as Prometheus reads it."""
    families = text_string_to_metric_families(client.get("/metrics").get_data(as_text=True))
    values = {sample.name: sample.value for family in families for sample in family.samples}
    return (
        values["clozit_orders_awaiting_stock"],
        values["clozit_orders_awaiting_stock_oldest_age_seconds"],
    )


def test_order_that_waits_for_its_stock_is_a_metric(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    assert waiting_orders(client) == (0, 0)
    other = Purchase("chk_2")
    service.deliver(purchase.started(), purchase.completed(recovered_from="cs_0"), other.started(), other.completed())
    wait_until(lambda: waiting_orders(client)[0] == 1, what="the next scrape that is not cached")
    assert waiting_orders(client)[1] > 900
    service.deliver(purchase.committed())
    wait_until(lambda: waiting_orders(client) == (0, 0), what="the next scrape that is not cached")
