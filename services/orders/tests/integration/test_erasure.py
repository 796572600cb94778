"""A customer is forgotten by command: who she was goes, the books stay, and no late event brings her back."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from events.database.engine import Database
from events.messaging import outbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.testing import deliver
from events.testing.columns import columns_with
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders import erasure, shipments
from orders.__main__ import main
from orders.erasure import ErasureRequest
from orders.errors import KeyReusedError
from orders.models.chains import CHAINS
from orders.models.orders import Order
from orders.models.unmatched_events import UnmatchedEvent
from orders.refunds.requests import RefundParams, create_request, find_request
from orders.repository import lock_order
from orders.shipments import ShipmentParams
from sqlalchemy import select

HER = ("zoe@example", "Zoë", "Lindenweg", "176 5550", "TRACK-7", "her sister", "buy.stripe.com")
ADDRESS = {"line1": "Lindenweg 7", "city": "Bonn", "postal_code": "53111", "country": "DE", "state": None}
DETAILS = {"email": "Zoe@Example.com", "name": "Zoë Müller", "address": ADDRESS, "phone": "+49 176 5550"}
WHO = {"customer_details": DETAILS, "collected_information": {"shipping_details": {"name": "Zoë", "address": ADDRESS}}}
Forgetting = Callable[..., Result]


@pytest.fixture
def desk(any_database: MakeDatabase, desk_on: Callable[[Database], Any]) -> Any:
    return desk_on(any_database(CHAINS))


@pytest.fixture
def forget(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Forgetting:
    """The command; its output and exit code."""
    url = desk.database.engine.url.render_as_string(hide_password=False)
    environment = {"DATABASE_URL": url, "BROKER_URL": "memory://", "OPERATOR_TOKENS": "ana:operator-token-of-ana"}
    for name, value in {**environment, "STRIPE_API_KEY": "sk_test_x"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **how: Any) -> Result:
        arguments = arguments or ("--email", " ZOE@example.com ")
        return CliRunner().invoke(main, ["erase-customer", "--by", "ana", *arguments], **how)

    return run


def ship(desk: Any, **parcel: Any) -> None:
    with desk.database.begin() as session:
        order = lock_order(session, desk.order().id)
        shipments.ship(session, order, ShipmentParams(carrier="DHL", **parcel), None, "ana")


def ask_for_refund(desk: Any, note: str) -> str:
    with desk.database.begin() as session:
        order = lock_order(session, desk.order().id)
        return create_request(session, order, RefundParams(amount=500, note=note), "key-1", "ana").id


def live_through(desk: Any, bought: Any) -> None:
    """A purchase with everything that people write and Stripe tells, and that is over."""
    expired = bought.expired(customer_details=DETAILS)
    desk.tell(bought.started(customer_email="zoe@example.com", locale="de"), expired, bought.completed(**WHO))
    intention = ask_for_refund(desk, "her sister called")
    desk.tell(bought.refund("re_1", 500, metadata={"refund_request": intention}, instructions_email="zoe@example.com"))
    ship(desk, tracking="TRACK-7", tracking_url="https://dhl.test/TRACK-7")


def books(order: Order) -> dict[str, Any]:
    """What bookkeeping needs."""
    names = ("number", "status", "session_id", "payment_intent", "currency", "amount_subtotal", "amount_discount",
             "amount_shipping", "amount_total", "amount_paid", "amount_refunded", "refund_status", "dispute_status",
             "fulfillment_status", "started_at", "paid_at", "expired_at")  # fmt: skip
    return {name: getattr(order, name) for name in names} | {
        "lines": [(line.sku, line.name, line.quantity, line.amount_total) for line in order.lines],
        "payments": [(payment.id, payment.amount, payment.paid_at) for payment in order.payments],
        "refunds": [(refund.id, refund.amount, refund.status) for refund in order.refunds],
        "intentions": [(one.id, one.amount, one.requested_by) for one in order.refund_requests],
        "shipments": [(one.id, one.carrier, one.lines, one.shipped_by, one.shipped_at) for one in order.shipments],
    }


def test_nothing_of_her_stays_and_the_books_do(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    before = desk.order()
    assert {
        "orders.customer_name",
        "timeline_entries.text",
        "refund_requests.note",
        "shipments.tracking",
        "outbox.body",
    } <= (set(columns_with(desk.database, *HER)))
    done = forget()
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "erased: 1, refused: 0.")
    assert columns_with(desk.database, *HER) == []
    assert books(desk.order()) == books(before)
    assert desk.order().shipping_address == {"country": "DE", "state": None}
    assert desk.order().erased_at is not None


def test_timeline_tells_the_same_story_without_what_people_wrote(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    before = desk.story()
    forget("--email", "zoe@example.com", "--reason", "ticket 12")
    told = [text.partition(" “")[0].replace(", tracking number TRACK-7", "") for text in before]
    assert sorted(desk.story()) == sorted([*told, "ana erased the customer's personal data. “ticket 12”"])
    assert desk.timeline().count("customer-erased") == 1


def test_other_services_are_told_the_checkout_and_nothing_of_her(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    forget()
    told = [event for event in desk.published() if event.type == "orders.customer.erased"]
    assert [(event.correlation_id, set(event.data)) for event in told] == [
        ("chk_1", {"order_id", "checkout_id", "erased_at"})
    ]


def test_events_promised_before_are_still_published_without_her(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    before = [event.id for event in desk.published()]
    forget()
    after = {event.id: event for event in desk.published()}
    assert set(before) < set(after)
    [paid] = [event.data for event in after.values() if event.type == "orders.order.paid"]
    assert (paid["amount_total"], paid["customer_email"], paid["customer_name"]) == (5738, None, None)


def test_forgetting_twice_is_forgetting_once(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    forget()
    order, types, story = desk.order(), desk.types(), desk.story()
    again = forget()
    assert again.exit_code == 0
    assert again.output.startswith("No order has this address")
    assert (books(desk.order()), desk.types(), desk.story()) == (books(order), types, story)
    assert desk.order().erased_at == order.erased_at


def test_checkout_named_again_is_told_again(desk: Any, bought: Any, forget: Forgetting) -> None:
    """For a sibling that was restored from a backup of before."""
    live_through(desk, bought)
    forget()
    at = desk.order().erased_at
    assert forget("--checkout-id", "chk_1").exit_code == 0
    assert desk.types().count("orders.customer.erased") == 2
    assert desk.order().erased_at == at


def test_late_and_repeated_facts_are_booked_and_bring_nobody_back(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    forget()
    late = [
        bought.completed(again="twice", **WHO),
        bought.expired(again="late", customer_details=DETAILS),
        bought.charge_refunded(billing_details=DETAILS, receipt_email="zoe@example.com"),
        bought.refund("re_2", 700, kind="updated", instructions_email="zoe@example.com"),
        bought.dispute(amount=300, evidence={"customer_name": "Zoë Müller"}),
        bought.started(again="again", customer_email="zoe@example.com"),
    ]
    assert set(desk.tell(*late)) == {"done"}
    assert (desk.order().amount_refunded, desk.order().dispute_status) == (1200, "open")
    assert columns_with(desk.database, *HER) == []


def test_payment_that_comes_after_the_forgetting_is_booked(desk: Any, bought: Any, forget: Forgetting) -> None:
    """In the session that Stripe's recovery link made, say."""
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.expired())
    forget()
    assert desk.tell(bought.completed(**WHO)) == ["done"]
    assert (desk.order().status, desk.order().amount_paid) == ("paid", 5738)
    assert desk.types()[-1] == "orders.order.paid"
    assert columns_with(desk.database, *HER) == []


@pytest.fixture
def failing() -> Handlers:
    made = Handlers()

    @made.on("stripe.checkout.session.completed", "stripe.charge.dispute.created")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"unexpected: {event.object}")

    return made


@pytest.mark.parametrize("first", ["failure", "forgetting"])
def test_stored_event_loses_her_and_is_still_handled(
    desk: Any, bought: Any, forget: Forgetting, failing: Handlers, first: str
) -> None:
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.expired())
    steps: list[Callable[[], Any]] = [lambda: deliver(desk.database, failing, bought.completed(**WHO)), forget]
    for step in steps if first == "failure" else reversed(steps):
        step()
    assert desk.unhandled() == ["evt_chk_1_cs_chk_1_checkout.session.completed_: retrying: "
                                "ValueError: text removed with the customer's data"]  # fmt: skip
    assert columns_with(desk.database, *HER) == []
    desk.settle()
    assert (desk.unhandled(), desk.order().status) == ([], "paid")


def test_money_that_names_no_checkout_is_never_stored_with_a_person(desk: Any, bought: Any, failing: Handlers) -> None:
    """A dispute that comes before its payment, and one whose handler fails: nothing leads from her order to them."""
    dispute = bought.dispute(evidence={"customer_name": "Zoë Müller", "customer_email_address": "zoe@example.com"})
    assert desk.tell(dispute) == ["done"]
    again = bought.dispute(again="failing", evidence={"customer_name": "Zoë Müller"})
    assert deliver(desk.database, failing, again) == "retrying"
    assert [column for column in columns_with(desk.database, *HER) if column.endswith("body")] == []
    desk.tell(bought.started(), bought.completed())
    desk.settle()
    assert (desk.order().dispute_status, desk.unhandled()) == ("open", [])
    with desk.database.read() as session:
        assert session.scalars(select(UnmatchedEvent)).all() == []


def test_event_made_from_stripes_object_does_not_bring_her_back(desk: Any, bought: Any, forget: Forgetting) -> None:
    """As `reconcile --repair` promises it: Stripe still knows her."""
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.expired())
    forget()
    found = bought.completed(**WHO).object
    with desk.database.begin() as session:
        outbox.add_recovered_stripe_event(
            session, "checkout.session.completed", found, event_id="evt_r", correlation_id="chk_1", source="orders"
        )
    assert columns_with(desk.database, *HER) == []
    [healed] = [event for event in desk.published() if event.id == "evt_r"]
    assert desk.tell(healed) == ["done"]
    assert desk.order().status == "paid"


OPEN_ORDERS: dict[str, tuple[list[str], str]] = {
    "open": ([], "can still be paid"),
    "pending": (["unpaid"], "on its way"),
    "unshipped": (["completed"], "3 paid pieces have not shipped"),
    "review": (["completed", "oversold"], "needs a review (oversold)"),
    "dispute": (["completed", "dispute"], "dp_chk_1 is needs_response"),
}


@pytest.mark.parametrize("case", OPEN_ORDERS)
def test_order_that_is_not_over_is_refused_by_name(desk: Any, bought: Any, forget: Forgetting, case: str) -> None:
    facts, why = OPEN_ORDERS[case]
    desk.tell(bought.started(customer_email="zoe@example.com"), *(getattr(bought, fact)() for fact in facts))
    before = desk.types()
    for how in ([], ["--dry-run"]):
        refused = forget("--email", "zoe@example.com", *how)
        assert refused.exit_code == 1
        assert f"{desk.order().number} chk_1: refused" in refused.output
        assert why in refused.output
    assert (desk.order().customer_email, desk.types()) == ("zoe@example.com", before)

    assert forget("--email", "zoe@example.com", "--even-open").exit_code == 0
    assert columns_with(desk.database, "zoe@example") == []


def test_refund_that_is_not_over_is_refused(desk: Any, bought: Any, forget: Forgetting) -> None:
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.completed())
    ship(desk)
    ask_for_refund(desk, "why")
    assert "Stripe has not answered the refund request rfr_" in forget().output
    desk.tell(bought.refund("re_1", 500, status="pending"))
    assert "The refund re_1 is pending" in forget().output


def test_others_are_forgotten_when_one_is_refused(desk: Any, purchase: Any, forget: Forgetting) -> None:
    for number in (1, 2, 3):
        desk.tell(purchase(f"chk_{number}").started(customer_email="Zoe@Example.COM"))
    desk.tell(purchase("chk_4").started(customer_email="ana@example.com"))
    desk.tell(purchase("chk_1").expired(), purchase("chk_3").canceled())
    done = forget("--email", "zoe@example.com", "--json")
    told = json.loads(done.output)
    assert done.exit_code == 1
    assert [one["checkout_id"] for one in told["erased"]] == ["chk_1", "chk_3"]
    assert [one["checkout_id"] for one in told["refused"]] == ["chk_2"]
    assert "example" not in done.output.lower()
    assert [desk.order(f"chk_{number}").customer_email for number in (1, 2, 3, 4)] == [
        None, "Zoe@Example.COM", None, "ana@example.com"
    ]  # fmt: skip


def test_dry_run_changes_nothing(desk: Any, bought: Any, forget: Forgetting) -> None:
    live_through(desk, bought)
    before = columns_with(desk.database, *HER), desk.types(), desk.story()
    done = forget("--email", "zoe@example.com", "--dry-run", "--json")
    told = json.loads(done.output)
    assert (done.exit_code, told["dry_run"], len(told["erased"])) == (0, True, 1)
    assert (columns_with(desk.database, *HER), desk.types(), desk.story()) == before


@pytest.mark.parametrize("where", ["erase_inbox", "_erase_texts", "erase_outbox", "add_entry"])
def test_run_that_dies_anywhere_is_finished_by_the_next(
    desk: Any, purchase: Any, forget: Forgetting, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for number in (1, 2):
        facts = purchase(f"chk_{number}")
        desk.tell(facts.started(customer_email="zoe@example.com"), facts.expired())
    whole, calls = getattr(erasure, where), iter(range(10))

    def die_the_second_time(*given: Any, **named: Any) -> Any:
        whole(*given, **named)
        if next(calls) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(erasure, where, die_the_second_time)
        forget()
    assert [desk.order(f"chk_{number}").customer_email for number in (1, 2)] == [None, "zoe@example.com"]
    assert "orders.customer.erased" not in desk.types("chk_2")
    forget()
    assert columns_with(desk.database, "zoe@example") == []
    assert [desk.types(f"chk_{number}").count("orders.customer.erased") for number in (1, 2)] == [1, 1]


def test_address_may_be_asked_for_instead_of_standing_in_the_history(
    desk: Any, bought: Any, forget: Forgetting
) -> None:
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.expired())
    assert forget("--dry-run", input="zoe@example.com\n").output.endswith("would be erased: 1, refused: 0.\n")


def test_wrong_use_is_refused(desk: Any, forget: Forgetting) -> None:
    assert forget("--email", "a@b.c", "--checkout-id", "chk_1").exit_code == 2
    unknown = forget("--checkout-id", "chk_9")
    assert (unknown.exit_code, unknown.output) == (
        1,
        "Error: No order has the checkout id chk_9. Nothing was erased.\n",
    )


def test_asking_again_under_the_same_key_makes_no_second_refund(desk: Any, bought: Any, forget: Forgetting) -> None:
    """What was asked for is no longer known, so the key is refused instead."""
    live_through(desk, bought)
    forget()
    order, wish = desk.order(), RefundParams(amount=500, note="her sister called")
    with desk.database.read() as session, pytest.raises(KeyReusedError):
        find_request(session, order, wish, "key-1")


def test_operators_see_since_when_the_customer_is_forgotten(
    client: FlaskClient, database: Database, desk_on: Callable[[Database], Any], bought: Any
) -> None:
    desk = desk_on(database)
    desk.tell(bought.started(customer_email="zoe@example.com"), bought.expired())
    erasure.erase_customer(database, desk.order(), ErasureRequest("ana"))
    shown = client.get(f"/orders/{desk.order().id}", headers={"Authorization": "Bearer operator-token-of-ana"}).json
    assert datetime.fromisoformat(shown["erased_at"]) == desk.order().erased_at
    assert shown["customer_email"] is None
