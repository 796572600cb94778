"""Reviews are settled once, parcels are shipped once, disputes are shown; and who may not ship, does not."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders.app import create_app
from orders.config import load
from orders.models.chains import CHAINS
from orders.models.refunds import RefundRequest
from orders.refunds.processor import RefundProcessor
from orders.reviews import resolve_by_policy

OPERATOR = {"Authorization": "Bearer operator-token-of-ana"}


class Stripe:
    """Makes every refund at once."""

    def create(self, intention: RefundRequest) -> dict[str, Any]:
        made = {"id": f"re_{intention.id}", "amount": intention.amount, "currency": intention.currency}
        about = {"payment_intent": intention.payment_id, "metadata": {"refund_request": intention.id}}
        return {**made, **about, "status": "succeeded", "created": 1_793_600_000}

    def find(self, _intention: RefundRequest) -> None:
        return None


@pytest.fixture
def client(config: Any, database: Database) -> FlaskClient:
    return create_app(config, database=database, gateway=Stripe()).test_client()  # type: ignore[arg-type]


def act(client: FlaskClient, desk: Any, what: str, key: str | None = None, **body: Any) -> Any:
    headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
    return client.post(f"/orders/{desk.order().id}/{what}", json=body, headers=headers)


def kind(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["type"].removeprefix("urn:clozit:problem:")


def returned(desk: Any) -> list[Any]:
    return [event.data["lines"] for event in desk.published() if event.type == "orders.stock.returned"]


def test_accepted_review_confirms_the_order_and_lets_it_ship(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed(amount_total=5700))
    assert kind(act(client, desk, "shipments")) == (409, "order-needs-review")
    answer = act(client, desk, "review", decision="accept", note="38 cents are fine")
    assert (answer.status_code, answer.get_json()["needs_review"]) == (200, False)
    assert desk.types() == ["orders.review.opened", "orders.review.resolved", "orders.order.paid"]
    assert act(client, desk, "review", decision="accept").status_code == 200, "the same once more"
    assert kind(act(client, desk, "review", decision="refund")) == (409, "review-resolved")
    assert len(desk.types()) == 3
    assert act(client, desk, "shipments").status_code == 201
    assert "ana accepted the order (amount-mismatch). It can ship. “38 cents are fine”" in desk.story()


def test_refunded_review_gives_back_the_money_and_what_was_there(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.oversold(), bought.completed())
    body = act(client, desk, "review", decision="refund").get_json()
    assert (body["amount_refunded"], body["refund_status"], body["reviews"][0]["resolved_by"]) == (5738, "full", "ana")
    assert returned(desk) == [[{"sku": "TEE-M", "quantity": 1}, {"sku": "SOCK", "quantity": 1}]], "one tee was missing"
    assert "orders.order.paid" not in desk.types()
    assert kind(act(client, desk, "shipments")) == (409, "order-held")
    desk.tell(bought.oversold("again"))
    assert not desk.order().needs_review, "what is settled stays settled"


def test_canceled_review_neither_ships_nor_refunds(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed(currency="usd"))
    act(client, desk, "review", decision="cancel")
    assert (desk.order().refund_requests, desk.types()) == ([], ["orders.review.opened", "orders.review.resolved"])
    assert kind(act(client, desk, "shipments")) == (409, "order-held")


def test_second_payment_goes_back_and_the_order_ships(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed(), bought.completed("again", id="cs_2", payment_intent="pi_2"))
    act(client, desk, "review", decision="refund")
    assert [(one.payment_id, one.amount) for one in desk.order().refunds] == [("pi_2", 5738)]
    assert (returned(desk), act(client, desk, "shipments").status_code) == ([], 201)


def test_nothing_is_settled_that_is_not_open_or_not_paid(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started())
    assert kind(act(client, desk, "review", decision="accept")) == (409, "nothing-to-review")
    desk.tell(bought.oversold())
    assert kind(act(client, desk, "review", decision="accept")) == (409, "order-not-paid")


def test_policy_refunds_what_cannot_be_fulfilled(desk: Any, bought: Any, database: Database) -> None:
    desk.tell(bought.started(), bought.oversold(), bought.completed())
    resolve_by_policy(database, ["amount-mismatch"])
    assert desk.order().needs_review
    for _ in range(2):
        resolve_by_policy(database, ["oversold"])
        RefundProcessor(database, Stripe()).resume_due()  # type: ignore[arg-type]
    order = desk.order()
    assert (order.refund_status, len(order.refunds), order.reviews[0].resolved_by) == ("full", 1, "policy")


def test_two_operators_settle_once(postgres_database: MakeDatabase, desk_on: Any, bought: Any, config: Any) -> None:
    database = postgres_database(CHAINS)
    desk = desk_on(database)
    desk.tell(bought.started(), bought.oversold(), bought.completed())
    app = create_app(config, database=database, gateway=Stripe())  # type: ignore[arg-type]
    with ThreadPoolExecutor(4) as pool:
        decisions = ["accept", "refund", "accept", "refund"]
        answers = pool.map(lambda one: act(app.test_client(), desk, "review", decision=one), decisions)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert desk.types().count("orders.review.resolved") == 1
    refunded = desk.order().reviews[0].decision == "refund"
    assert (len(desk.order().refunds), desk.types().count("orders.order.paid")) == ((1, 0) if refunded else (0, 1))


def test_parcels_until_nothing_is_left(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started())
    assert kind(act(client, desk, "shipments")) == (409, "order-not-paid")
    desk.tell(bought.completed())
    sent = {"carrier": "DHL", "tracking": "JD01", "tracking_url": "https://dhl.example/JD01"}
    one_tee = [{"sku": "TEE-M", "quantity": 1}]
    first = act(client, desk, "shipments", "k1", lines=one_tee, **sent)
    assert (first.status_code, first.get_json()["lines"], desk.order().fulfillment_status) == (201, one_tee, "partial")
    assert act(client, desk, "shipments", "k1", lines=one_tee, **sent).get_json() == first.get_json()
    assert kind(act(client, desk, "shipments", "k1")) == (409, "idempotency-key-reused")
    too_many = act(client, desk, "shipments", lines=[{"sku": "TEE-M", "quantity": 2}])
    assert too_many.get_json()["errors"]["lines"]["0"]["quantity"] == ["Only 1 of 2 can still be shipped."]
    assert act(client, desk, "shipments").get_json()["lines"] == [*one_tee, {"sku": "SOCK", "quantity": 1}]
    assert kind(act(client, desk, "shipments")) == (409, "nothing-to-ship")
    told = [event.data for event in desk.published() if event.type == "orders.order.shipped"]
    assert (told[0]["carrier"], told[0]["shipped"]) == ("DHL", one_tee)
    assert [one["is_complete"] for one in told] == [False, True]
    shown = client.get(f"/orders/by-session/{bought.session_id}").get_json()
    assert (shown["fulfillment_status"], shown["shipments"][0]["tracking"]) == ("fulfilled", "JD01")
    assert "ana shipped 1 x TEE-M with DHL, tracking number JD01." in desk.story()


def test_pieces_that_were_refunded_to_the_shelf_do_not_ship(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed())
    act(client, desk, "refunds", "k1", lines=[{"sku": "TEE-M", "quantity": 1}], restock=True)
    assert act(client, desk, "shipments").get_json()["lines"][0] == {"sku": "TEE-M", "quantity": 1}
    assert desk.order().fulfillment_status == "fulfilled"


def test_order_that_is_refunded_in_full_does_not_ship(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed())
    act(client, desk, "refunds", "k1")
    assert kind(act(client, desk, "shipments")) == (409, "order-refunded")


def test_operators_ship_with_the_address_that_the_customer_gave(desk: Any, bought: Any, client: FlaskClient) -> None:
    address = {"line1": "Rue de la Paix 1", "city": "Paris", "country": "FR"}
    details = {"email": "zoe@example.com", "name": "Zoë", "phone": "+33100000000"}
    where = {"shipping_details": {"name": "Zoë Müller", "address": address}}
    desk.tell(bought.started(), bought.completed(customer_details=details, collected_information=where))
    shown = client.get(f"/orders/{desk.order().id}", headers=OPERATOR).get_json()
    assert (shown["shipping_name"], shown["shipping_address"]) == ("Zoë Müller", address)
    assert shown["customer_phone"] == "+33100000000"


@pytest.mark.parametrize(("paid", "fits"), [(5738, True), (5238, True), (5237, False)])
def test_promotion_code_takes_off_what_stripe_says(desk: Any, bought: Any, paid: int, *, fits: bool) -> None:
    desk.tell(bought.started(promotion_codes=True))
    details = {"amount_discount": 5738 - max(paid, 5238), "amount_shipping": 490, "amount_tax": 0}
    desk.tell(bought.completed(amount_total=paid, total_details=details))
    assert (desk.order().needs_review, desk.order().amount_paid) == (not fits, paid)


def test_currency_that_the_shopper_saw_is_not_compared(desk: Any, bought: Any) -> None:
    shown = {"presentment_amount": 6312, "presentment_currency": "usd"}
    desk.tell(bought.started(), bought.completed(presentment_details=shown))
    assert (desk.order().needs_review, desk.order().amount_paid) == (False, 5738)


def test_discount_that_nobody_allowed_does_not_fit(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.completed(amount_total=5238, total_details={"amount_discount": 500}))
    assert desk.order().review_reason == "amount-mismatch"


def test_dispute_is_told_with_its_deadline_and_listed(desk: Any, bought: Any, client: FlaskClient) -> None:
    desk.tell(bought.started(), bought.completed(), bought.dispute(), bought.dispute("funds_withdrawn"))
    told: list[Event] = [event for event in desk.published() if event.type.startswith("orders.dispute")]
    assert [event.type for event in told] == ["orders.dispute.opened", "orders.dispute.updated"]
    assert [event.data["funds_withdrawn"] for event in told] == [False, True]
    assert told[0].data["evidence_due_by"] is not None

    def listed(query: str = "") -> list[str]:
        return [one["id"] for one in client.get(f"/disputes?{query}", headers=OPERATOR).get_json()["items"]]

    assert listed() == ["dp_chk_1"]
    assert len(client.get("/orders?dispute_status=open", headers=OPERATOR).get_json()["items"]) == 1
    desk.tell(bought.dispute("closed", "lost"))
    assert (listed(), listed("open=false")) == ([], ["dp_chk_1"])
    assert (
        desk.story()[-1]
        == "The dispute dp_chk_1 over 57.38 EUR is closed. The shop lost and the customer keeps the money."
    )


def test_disputes_are_paged_by_deadline(desk: Any, purchase: Any, client: FlaskClient) -> None:
    for number, due in enumerate((1_794_000_300, None, 1_794_000_100, 1_794_000_100)):
        one = purchase(f"chk_{number}")
        desk.tell(one.started(), one.completed(), one.dispute(evidence_details={"due_by": due}))
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/disputes?limit=1{cursor and f'&cursor={cursor}'}", headers=OPERATOR).get_json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert found == ["dp_chk_2", "dp_chk_3", "dp_chk_0", "dp_chk_1"]
    assert client.get("/disputes?cursor=WzFd", headers=OPERATOR).status_code == 422


def test_inquiry_moves_no_money_and_may_become_a_dispute(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.completed(), bought.dispute(status="warning_needs_response"))
    order = desk.order()
    assert (order.dispute_status, order.disputes[0].funds_withdrawn) == ("inquiry", False)
    desk.tell(bought.dispute("updated"), bought.dispute("updated", "warning_under_review"))
    assert desk.order().dispute_status == "open"
    desk.tell(bought.dispute("closed", "won"))
    assert desk.order().dispute_status == "won"


def test_inquiry_that_led_to_nothing_leaves_no_mark(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.completed(), bought.dispute("closed", "warning_closed"))
    assert (desk.order().dispute_status, desk.types()[-1]) == ("none", "orders.dispute.closed")


def test_funds_are_known_from_the_disputes_own_movements(desk: Any, bought: Any) -> None:
    moves = [{"amount": -5738, "created": 1_793_700_000}, {"amount": 5738, "created": 1_793_800_000}]
    desk.tell(bought.started(), bought.completed(), bought.dispute("closed", "won", balance_transactions=moves))
    [dispute] = desk.order().disputes
    assert (dispute.funds_withdrawn_at.timestamp(), dispute.funds_withdrawn) == (1_793_700_000, False)


def test_policy_of_unknown_reasons_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from events.errors import ConfigError

    monkeypatch.setenv("REVIEW_AUTO_REFUND", "oversold,whim")
    with pytest.raises(ConfigError) as error:
        load()
    assert "REVIEW_AUTO_REFUND" in error.value.problems
