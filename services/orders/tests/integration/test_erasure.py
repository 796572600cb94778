"""Erasure by command: the customer's data is removed, the books stay, and late events add no personal data."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from events.database.engine import Database
from events.messaging import outbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.testing.bus import deliver
from events.testing.columns import columns_with
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders import erasure, shipments
from orders.__main__ import main
from orders.chains import CHAINS
from orders.erasure import ErasureRequest
from orders.errors import KeyReusedError
from orders.models.orders import Order
from orders.models.unmatched_events import UnmatchedEvent
from orders.refunds.requests import RefundParams, create_request, find_request
from orders.repository import lock_order
from orders.shipments import ShipmentParams
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.orders.tests.harness import OPERATOR, OrdersService, Purchase

EMAIL = "zoe@example.com"
PERSONAL = ("zoe@example", "Zoë", "Lindenweg", "176 5550", "TRACK-7", "my sister", "buy.stripe.com")
ADDRESS = {"line1": "Lindenweg 7", "city": "Bonn", "postal_code": "53111", "country": "DE", "state": None}
DETAILS = {"email": "Zoe@Example.com", "name": "Zoë Müller", "address": ADDRESS, "phone": "+49 176 5550"}
SHIPPING = {"shipping_details": {"name": "Zoë", "address": ADDRESS}}
CUSTOMER: dict[str, Any] = {"customer_details": DETAILS, "collected_information": SHIPPING}
NOTE = "my sister called"
EraseCustomer = Callable[..., Result]


@pytest.fixture
def service(any_database: MakeDatabase) -> OrdersService:
    return OrdersService(any_database(CHAINS))


@pytest.fixture
def erase(service: OrdersService, monkeypatch: pytest.MonkeyPatch) -> EraseCustomer:
    """The command `orders erase-customer`, by default with the customer's e-mail address."""
    url = service.database.engine.url.render_as_string(hide_password=False)
    environment = {"DATABASE_URL": url, "BROKER_URL": "memory://", "OPERATOR_TOKENS": "ana:operator-token-of-ana"}
    for name, value in {**environment, "STRIPE_API_KEY": "sk_test_x", "LIVEMODE": "false"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **options: Any) -> Result:
        arguments = arguments or ("--email", " ZOE@example.com ")
        return CliRunner().invoke(
            main, ["erase-customer", "--by", "ana", *arguments], catch_exceptions=False, **options
        )

    return run


def personal_columns(service: OrdersService) -> Sequence[str]:
    """Return the columns that have personal data of the customer."""
    return columns_with(service.database, *PERSONAL)


def ship(service: OrdersService, **params: Any) -> None:
    with service.database.begin() as session:
        order = lock_order(session, service.order().id)
        shipments.ship(session, order, ShipmentParams(all=True, carrier="DHL", **params), None, "ana")


def request_refund(service: OrdersService, note: str) -> str:
    with service.database.begin() as session:
        order = lock_order(session, service.order().id)
        return create_request(session, order, RefundParams(amount=500, note=note), "key-1", "ana").id


def finish(service: OrdersService, purchase: Purchase) -> None:
    """Finish a purchase with all texts that operators write and all personal data that Stripe sends."""
    expired = purchase.expired(customer_details=DETAILS)
    service.deliver(purchase.started(customer_email=EMAIL, locale="de"), expired, purchase.completed(**CUSTOMER))
    request_id = request_refund(service, NOTE)
    service.deliver(purchase.refund("re_1", 500, metadata={"refund_request": request_id}, instructions_email=EMAIL))
    ship(service, tracking="TRACK-7", tracking_url="https://dhl.test/TRACK-7")


def books(order: Order) -> dict[str, Any]:
    """Return what accounting needs of an order."""
    names = ("number", "status", "session_id", "payment_intent", "currency", "amount_subtotal", "amount_discount",
             "amount_shipping", "amount_total", "amount_paid", "amount_refunded", "refund_status", "dispute_status",
             "fulfillment_status", "started_at", "paid_at", "expired_at")  # fmt: skip
    return {name: getattr(order, name) for name in names} | {
        "lines": [(line.sku, line.name, line.quantity, line.amount_total) for line in order.lines],
        "payments": [(payment.id, payment.amount, payment.paid_at) for payment in order.payments],
        "refunds": [(refund.id, refund.amount, refund.status) for refund in order.refunds],
        "refund_requests": [(one.id, one.amount, one.requested_by) for one in order.refund_requests],
        "shipments": [(one.id, one.carrier, one.lines, one.shipped_by, one.shipped_at) for one in order.shipments],
    }


def test_erasure_removes_personal_data_and_keeps_the_books(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    finish(service, purchase)
    before = service.order()
    columns = ("orders.customer_name", "timeline_entries.text", "refund_requests.note", "shipments.tracking")
    assert {*columns, "outbox.body"} <= set(personal_columns(service))
    done = erase()
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "erased: 1, refused: 0.")
    assert personal_columns(service) == []
    assert books(service.order()) == books(before)
    assert service.order().shipping_address == {"country": "DE", "state": None}
    assert service.order().erased_at is not None


def test_timeline_stays_without_notes_and_tracking_numbers(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    finish(service, purchase)
    before = service.entry_texts()
    erase("--email", EMAIL, "--reason", "ticket 12")
    kept = [text.partition(" “")[0].replace(", tracking number TRACK-7", "") for text in before]
    assert sorted(service.entry_texts()) == sorted([*kept, "ana erased the customer's personal data. “ticket 12”"])
    assert service.entry_kinds().count("customer-erased") == 1


def test_published_erasure_names_only_the_checkout(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    finish(service, purchase)
    erase()
    published = [event for event in service.published() if event.type == "orders.customer.erased"]
    assert [(event.correlation_id, set(event.data)) for event in published] == [
        ("chk_1", {"order_id", "checkout_id", "erased_at"})
    ]


def test_earlier_outbox_events_are_kept_and_redacted(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    finish(service, purchase)
    before = [event.id for event in service.published()]
    done = erase()
    assert done.exit_code == 0, done.output
    after = {event.id: event for event in service.published()}
    assert set(before) < set(after)
    [paid] = [event.data for event in after.values() if event.type == "orders.order.paid"]
    assert (paid["amount_total"], paid["customer_email"], paid["customer_name"]) == (5738, None, None)


def test_second_erasure_changes_nothing(service: OrdersService, purchase: Purchase, erase: EraseCustomer) -> None:
    finish(service, purchase)
    erase()
    order, types, texts = service.order(), service.published_types(), service.entry_texts()
    again = erase()
    assert again.exit_code == 0
    assert again.output.startswith("No order has this e-mail address")
    assert (books(service.order()), service.published_types(), service.entry_texts()) == (books(order), types, texts)
    assert service.order().erased_at == order.erased_at


def test_erasure_by_checkout_is_published_again(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    """This is for a service that was restored from an older backup."""
    finish(service, purchase)
    erase()
    erased_at = service.order().erased_at
    assert erase("--checkout-id", "chk_1").exit_code == 0
    assert service.published_types().count("orders.customer.erased") == 2
    assert service.order().erased_at == erased_at


def test_late_facts_are_booked_without_personal_data(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    finish(service, purchase)
    erase()
    late = [
        purchase.completed(again="twice", **CUSTOMER),
        purchase.expired(again="late", customer_details=DETAILS),
        purchase.charge_refunded(billing_details=DETAILS, receipt_email=EMAIL),
        purchase.refund("re_2", 700, kind="updated", instructions_email=EMAIL),
        purchase.dispute(amount=300, evidence={"customer_name": "Zoë Müller"}),
        purchase.started(again="again", customer_email=EMAIL),
    ]
    assert set(service.deliver(*late)) == {"done"}
    assert (service.order().amount_refunded, service.order().dispute_status) == (1200, "open")
    assert personal_columns(service) == []


def test_payment_after_the_erasure_is_booked(service: OrdersService, purchase: Purchase, erase: EraseCustomer) -> None:
    """The customer can still pay in the session that Stripe's recovery link made."""
    service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    erase()
    assert service.deliver(purchase.completed(**CUSTOMER)) == ["done"]
    assert (service.order().status, service.order().amount_paid) == ("paid", 5738)
    assert service.published_types()[-1] == "orders.order.paid"
    assert personal_columns(service) == []


@pytest.fixture
def failing_handlers() -> Handlers:
    registry = Handlers()

    @registry.on("stripe.checkout.session.completed", "stripe.charge.dispute.created")
    def fail(event: Event, session: Session) -> None:
        raise ValueError(f"unexpected: {event.object}")

    return registry


@pytest.mark.parametrize("first", ["failure", "erasure"])
def test_stored_event_is_redacted_and_still_handled(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer, failing_handlers: Handlers, first: str
) -> None:
    service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    steps: list[Callable[[], object]] = [
        lambda: deliver(service.database, failing_handlers, purchase.completed(**CUSTOMER)),
        erase,
    ]
    for step in steps if first == "failure" else reversed(steps):
        step()
    stored = "evt_chk_1_cs_chk_1_checkout.session.completed_: retrying"
    assert service.unfinished() == [f"{stored}: ValueError: text removed with the customer's data"]
    assert personal_columns(service) == []
    service.retry_waiting()
    assert (service.unfinished(), service.order().status) == ([], "paid")


def test_event_without_a_checkout_is_stored_redacted(
    service: OrdersService, purchase: Purchase, failing_handlers: Handlers
) -> None:
    """An erasure could not find a dispute that arrives before its payment, or one whose handler fails."""
    dispute = purchase.dispute(evidence={"customer_name": "Zoë Müller", "customer_email_address": EMAIL})
    assert service.deliver(dispute) == ["done"]
    again = purchase.dispute(again="failing", evidence={"customer_name": "Zoë Müller"})
    assert deliver(service.database, failing_handlers, again) == "retrying"
    assert [column for column in personal_columns(service) if column.endswith("body")] == []
    service.deliver(purchase.started(), purchase.completed())
    service.retry_waiting()
    assert (service.order().dispute_status, service.unfinished()) == ("open", [])
    with service.database.read() as session:
        assert session.scalars(select(UnmatchedEvent)).all() == []


def test_event_made_from_stripes_object_is_redacted(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    """`reconcile --repair` adds such an event, and Stripe's object still has the customer's data."""
    service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    erase()
    found = purchase.completed(**CUSTOMER).object
    with service.database.begin() as session:
        outbox.add_recovered_stripe_event(
            session, "checkout.session.completed", found, event_id="evt_r", correlation_id="chk_1", source="orders"
        )
    assert personal_columns(service) == []
    [repaired] = [event for event in service.published() if event.id == "evt_r"]
    assert service.deliver(repaired) == ["done"]
    assert service.order().status == "paid"


def test_order_refunded_in_the_dashboard_can_be_erased(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    service.deliver(purchase.started(customer_email=EMAIL), purchase.completed(**CUSTOMER))
    assert "Pieces to ship: 3" in erase().output
    service.deliver(purchase.refund("re_dashboard", 5738))
    assert erase().exit_code == 0
    assert personal_columns(service) == []


UNFINISHED_ORDERS: dict[str, tuple[list[str], str]] = {
    "open": ([], "can still be paid"),
    "pending": (["unpaid"], "on its way"),
    "unshipped": (["completed"], "Pieces to ship: 3"),
    "review": (["completed", "oversold"], "needs a review (oversold)"),
    "dispute": (["completed", "dispute"], "dp_chk_1 is needs_response"),
}


def unfinished_events(purchase: Purchase, names: Sequence[str]) -> list[Event]:
    return [purchase.dispute() if name == "dispute" else purchase.named(name) for name in names]


@pytest.mark.parametrize("case", UNFINISHED_ORDERS)
def test_unfinished_order_is_refused_with_its_blocker(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer, case: str
) -> None:
    names, blocker = UNFINISHED_ORDERS[case]
    service.deliver(purchase.started(customer_email=EMAIL), *unfinished_events(purchase, names))
    before = service.published_types()
    for options in ([], ["--dry-run"]):
        refused = erase("--email", EMAIL, *options)
        assert refused.exit_code == 1
        assert f"{service.order().number} chk_1: refused" in refused.output
        assert blocker in refused.output
    assert (service.order().customer_email, service.published_types()) == (EMAIL, before)

    assert erase("--email", EMAIL, "--even-open").exit_code == 0
    assert columns_with(service.database, "zoe@example") == []


def test_refund_in_progress_refuses_the_erasure(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    service.deliver(purchase.started(customer_email=EMAIL), purchase.completed())
    ship(service)
    request_refund(service, "why")
    assert "Stripe has not answered the refund request rfr_" in erase().output
    service.deliver(purchase.refund("re_1", 500, status="pending"))
    assert "The refund re_1 is pending" in erase().output


def test_refused_order_does_not_stop_the_others(service: OrdersService, erase: EraseCustomer) -> None:
    for number in (1, 2, 3):
        service.deliver(Purchase(f"chk_{number}").started(customer_email="Zoe@Example.COM"))
    service.deliver(Purchase("chk_4").started(customer_email="ana@example.com"))
    service.deliver(Purchase("chk_1").expired(), Purchase("chk_3").canceled())
    done = erase("--email", EMAIL, "--json")
    printed = json.loads(done.output)
    assert done.exit_code == 1
    assert [one["checkout_id"] for one in printed["erased"]] == ["chk_1", "chk_3"]
    assert [one["checkout_id"] for one in printed["refused"]] == ["chk_2"]
    assert "can still be paid" in printed["refused"][0]["blockers"][0]
    assert "example" not in done.output.lower()
    assert [service.order(f"chk_{number}").customer_email for number in (1, 2, 3, 4)] == [
        None, "Zoe@Example.COM", None, "ana@example.com"
    ]  # fmt: skip


def test_dry_run_changes_nothing(service: OrdersService, purchase: Purchase, erase: EraseCustomer) -> None:
    finish(service, purchase)
    before = personal_columns(service), service.published_types(), service.entry_texts()
    done = erase("--email", EMAIL, "--dry-run", "--json")
    printed = json.loads(done.output)
    assert (done.exit_code, printed["dry_run"], len(printed["erased"])) == (0, True, 1)
    assert (personal_columns(service), service.published_types(), service.entry_texts()) == before


@pytest.mark.parametrize("where", ["erase_inbox", "_erase_texts", "erase_outbox", "add_entry"])
def test_run_that_dies_is_finished_by_the_next(
    service: OrdersService, erase: EraseCustomer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for number in (1, 2):
        purchase = Purchase(f"chk_{number}")
        service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    original, calls = getattr(erasure, where), iter(range(10))

    def die_the_second_time(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        if next(calls) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasure, where, die_the_second_time)
        erase()
    assert [service.order(f"chk_{number}").customer_email for number in (1, 2)] == [None, EMAIL]
    assert "orders.customer.erased" not in service.published_types("chk_2")
    erase()
    assert columns_with(service.database, "zoe@example") == []
    erased = [service.published_types(f"chk_{number}").count("orders.customer.erased") for number in (1, 2)]
    assert erased == [1, 1]


def test_address_can_be_typed_in(service: OrdersService, purchase: Purchase, erase: EraseCustomer) -> None:
    service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    assert erase("--dry-run", input=f"{EMAIL}\n").output.endswith("would be erased: 1, refused: 0.\n")


def test_wrong_options_are_refused(service: OrdersService, erase: EraseCustomer) -> None:
    assert erase("--email", "a@b.c", "--checkout-id", "chk_1").exit_code == 2
    unknown = erase("--checkout-id", "chk_9")
    assert unknown.exit_code == 1
    assert unknown.output == "Error: Checkout ids without an order: chk_9. Nothing was erased. Check the ids.\n"


def test_key_of_an_erased_refund_request_is_refused(
    service: OrdersService, purchase: Purchase, erase: EraseCustomer
) -> None:
    """Its fingerprint is erased, so it cannot be compared with the repeated request."""
    finish(service, purchase)
    erase()
    order, params = service.order(), RefundParams(amount=500, note=NOTE)
    with service.database.read() as session, pytest.raises(KeyReusedError):
        find_request(session, order, params, "key-1")


def test_operators_see_when_the_customer_was_erased(
    client: FlaskClient, database: Database, purchase: Purchase
) -> None:
    service = OrdersService(database)
    service.deliver(purchase.started(customer_email=EMAIL), purchase.expired())
    erasure.erase_customer(database, service.order(), ErasureRequest("ana"))
    shown: Any = client.get(f"/orders/{service.order().id}", headers=OPERATOR).get_json()
    assert datetime.fromisoformat(shown["erased_at"]) == service.order().erased_at
    assert shown["customer_email"] is None
