"""Refunds by operators and in Stripe's dashboard: requested once, made once, booked once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.messaging import inbox
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config
from orders.handlers import handlers
from orders.models.refunds import RefundRequest
from orders.refunds.gateway import RefundRefusedError, StripeAwayError
from orders.refunds.processor import RefundProcessor
from orders.stripe_objects import StripeObject
from sqlalchemy import select, text

from services.orders.tests.harness import OPERATOR, FakeRefundGateway, OrdersService, Purchase, problem_of

TOTAL = 5738


class RefundCase:
    """An order with its operators, the worker and Stripe, for tests of refunds."""

    def __init__(
        self, service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase
    ) -> None:
        self.service, self.client, self.gateway, self.purchase = service, client, gateway, purchase
        self.processor = RefundProcessor(service.database, gateway)

    def request(self, key: str = "key-1", **params: Any) -> Any:
        """Request a refund and return the response. Without an extent, it is all that is left."""
        if not params.keys() & {"all", "amount", "lines"}:
            params["all"] = True
        headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
        return self.client.post(f"/orders/{self.service.order().id}/refunds", json=params, headers=headers)

    def run_worker(self, after: timedelta = timedelta(hours=2)) -> int:
        """Resume the due requests as the worker does, this much later, and return their number."""
        return self.processor.resume_due(utcnow() + after)

    def deliver_webhook(self, kind: str = "created", again: str = "", **changes: Any) -> str:
        """Deliver an event about the last refund that Stripe made, and return its outcome."""
        refund = self.gateway.last_refund | changes
        [outcome] = self.service.deliver(self.purchase.stripe(f"refund.{kind}", refund, f"{refund['status']}{again}"))
        return outcome

    def booked(self) -> list[tuple[str, int, str]]:
        return [(refund.id, refund.amount, refund.status) for refund in self.service.order().refunds]

    def totals(self) -> tuple[int, str]:
        order = self.service.order()
        return order.amount_refunded, order.refund_status


def paid_order(database: Database, config: Config, gateway: FakeRefundGateway, purchase: Purchase) -> RefundCase:
    service = OrdersService(database)
    service.deliver(purchase.started(), purchase.completed())
    client = create_app(config, database=database, gateway=gateway).test_client()
    return RefundCase(service, client, gateway, purchase)


@pytest.fixture
def case(config: Config, database: Database, gateway: FakeRefundGateway, purchase: Purchase) -> RefundCase:
    """A paid order."""
    return paid_order(database, config, gateway, purchase)


@pytest.fixture
def case_on_postgresql(
    config: Config, postgres_database: MakeDatabase, gateway: FakeRefundGateway, purchase: Purchase
) -> RefundCase:
    """A paid order."""
    return paid_order(postgres_database(CHAINS), config, gateway, purchase)


def test_whole_refund_is_made_and_booked(case: RefundCase) -> None:
    answer = case.request(reason="requested_by_customer", note="Too small")
    assert answer.status_code == 201, answer.get_json()
    body = answer.get_json()
    assert (body["status"], body["amount"], body["currency"], body["refund_id"]) == ("succeeded", TOTAL, "eur", "re_1")
    assert (body["requested_by"], body["reason"]) == ("ana", "requested_by_customer")
    assert case.totals() == (TOTAL, "full")
    assert [case.deliver_webhook(), case.deliver_webhook("updated")] == ["done", "done"]
    assert case.booked() == [("re_1", TOTAL, "succeeded")]
    types = ["orders.order.paid", "orders.goods.changed", "orders.refund.succeeded"]
    assert case.service.published_types() == types
    assert case.service.entry_texts()[-2:] == [
        "ana requested a refund of 57.38 EUR for 2 x TEE-M, 1 x SOCK. “Too small”",
        "57.38 EUR was refunded to the customer (re_1, requested by ana). Refunded so far: 57.38 EUR.",
    ]


def test_webhook_before_the_answer_books_the_same_refund(case: RefundCase, monkeypatch: pytest.MonkeyPatch) -> None:
    create = case.gateway.create

    def answer_late(request: RefundRequest) -> StripeObject:
        made = create(request)
        case.deliver_webhook()
        return made

    monkeypatch.setattr(case.gateway, "create", answer_late)
    assert case.request(amount=1000).get_json()["status"] == "succeeded"
    assert case.booked() == [("re_1", 1000, "succeeded")]
    assert case.service.published_types().count("orders.refund.succeeded") == 1


def test_double_click_refunds_once(case: RefundCase) -> None:
    first, second = case.request(amount=1000), case.request(amount=1000)
    assert first.get_json() == second.get_json()
    assert (second.status_code, case.gateway.request_ids) == (201, [first.get_json()["id"]])


def test_key_of_another_refund_is_refused(case: RefundCase) -> None:
    case.request(amount=1000)
    assert problem_of(case.request(amount=1001)) == (409, "idempotency-key-reused")
    assert problem_of(case.request(key="", amount=1000)) == (400, "idempotency-key-required")


def test_more_than_the_refundable_rest_is_refused(case: RefundCase) -> None:
    case.request(amount=5000)
    answer = case.request("key-2", amount=739)
    assert (answer.status_code, answer.get_json()["refundable"]) == (422, 738)
    assert answer.get_json()["detail"] == (
        f"Only 7.38 EUR of {case.purchase.intent} can still be refunded."
        " Pending refunds and disputed amounts are already deducted."
    )
    assert len(case.gateway.request_ids) == 1
    assert case.request("key-3").get_json()["amount"] == 738
    assert case.request("key-4").get_json()["refundable"] == 0
    assert case.totals() == (TOTAL, "full")


def test_unanswered_request_is_deducted_from_the_rest(case: RefundCase) -> None:
    case.gateway.errors = [StripeAwayError("timeout")]
    assert case.request(amount=5000).status_code == 202
    assert case.request("key-2", amount=739).get_json()["refundable"] == 738


def test_unpaid_or_unknown_order_cannot_be_refunded(
    service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase
) -> None:
    service.deliver(purchase.started())
    answer = RefundCase(service, client, gateway, purchase).request()
    assert problem_of(answer) == (409, "order-not-paid")
    assert "Its status is open." in answer.get_json()["detail"]
    headers = OPERATOR | {"Idempotency-Key": "k"}
    assert client.post("/orders/ord_unknown/refunds", json={"all": True}, headers=headers).status_code == 404
    assert client.post("/orders/ord_unknown/refunds", json={}).status_code == 401


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 100, "lines": [{"sku": "SOCK", "quantity": 1}]}, "lines"),
        ({"all": True, "amount": 100}, "amount"),
        ({"all": False}, "all"),
        ({"all": None}, "all"),
        ({"all": 1}, "all"),
        ({"all": "true"}, "all"),
        ({"amount": None}, "amount"),
        ({"amount": 10.5}, "amount"),
        ({"amount": "1000"}, "amount"),
        ({"amount": True}, "amount"),
        ({"lines": []}, "lines"),
        ({"lines": None}, "lines"),
        ({"all": True, "without_money": True}, "without_money"),
        ({"all": True, "restock": "yes"}, "restock"),
        ({"lines": [{"sku": "SOCK", "quantity": 1, "unshipped": 2}]}, "lines"),
        ({"amount": 100, "restock": True}, "restock"),
        ({"lines": [{"sku": "HAT", "quantity": 1}]}, "lines"),
        ({"lines": [{"sku": "SOCK", "quantity": 2}]}, "lines"),
        ({"lines": [{"sku": "TEE-M", "quantity": 1}] * 3}, "lines"),
        ({"payment_id": "pi_foreign"}, "payment_id"),
        ({"payment_id": None}, "payment_id"),
        ({"payment_id": None, "all": True}, "payment_id"),
        ({"reason": "whim"}, "reason"),
    ],
)
def test_invalid_params_are_refused_by_field(case: RefundCase, params: dict[str, Any], field: str) -> None:
    answer = case.request(**params)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert case.gateway.request_ids == []


def test_payment_in_an_unsupported_currency_is_refunded_whole(
    service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase
) -> None:
    service.deliver(purchase.started(), purchase.completed(currency="zzz"))
    case = RefundCase(service, client, gateway, purchase)
    lines = [{"sku": "SOCK", "quantity": 1}]
    for field, value in (("amount", 100), ("lines", lines)):
        answer = case.request(f"by-{field}", **{field: value})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert case.request("recorded", lines=lines, without_money=True).status_code == 201
    answer = case.request("whole")
    assert (answer.status_code, answer.get_json()["amount"], answer.get_json()["currency"]) == (201, TOTAL, "zzz")


def test_lines_return_to_the_shelf_once(case: RefundCase) -> None:
    lines = [{"sku": "TEE-M", "quantity": 1, "restock": True}, {"sku": "SOCK", "quantity": 1}]
    request = case.request(lines=lines).get_json()
    assert request["amount"] == 1999 + 1250
    case.deliver_webhook()
    [returned] = case.service.data_of("orders.stock.returned")
    assert (returned["return_id"], returned["lines"]) == (request["id"], [{"sku": "TEE-M", "quantity": 1}])
    assert case.request("key-2", lines=[{"sku": "SOCK", "quantity": 1}]).status_code == 422
    rest = [{"sku": "TEE-M", "quantity": 1, "restock": True, "unshipped": 1}]
    assert case.request("key-3", restock=True).get_json()["lines"] == rest


def test_unanswered_request_is_retried_under_the_same_key(case: RefundCase) -> None:
    case.gateway.errors = [StripeAwayError("APIConnectionError: timed out"), StripeAwayError("500")]
    answer = case.request(amount=1000)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "requested")
    assert case.request(amount=1000).status_code == 202
    assert case.run_worker(timedelta()) == 0, "not at once"
    assert case.run_worker() == 1
    assert case.totals() == (0, "none")
    assert case.run_worker(timedelta(hours=4)) == 1
    assert case.run_worker(timedelta(hours=4)) == 0
    assert (set(case.gateway.request_ids), len(case.gateway.refunds)) == ({answer.get_json()["id"]}, 1)
    assert case.totals() == (1000, "partial")
    assert case.request(amount=1000).status_code == 201
    assert sum("has not answered" in text for text in case.service.entry_texts()) == 1


@pytest.mark.parametrize("keeps_keys", [True, False], ids=["soon", "after Stripe has forgotten the key"])
def test_lost_answer_is_found_at_stripe(case: RefundCase, *, keeps_keys: bool) -> None:
    case.gateway.errors, case.gateway.errors_after_effect = [StripeAwayError("timed out")], True
    case.gateway.keeps_keys = keeps_keys
    assert case.request(amount=1000).status_code == 202
    assert case.run_worker(timedelta(days=2)) == 1
    assert (len(case.gateway.refunds), case.booked()) == (1, [("re_1", 1000, "succeeded")])


@pytest.mark.parametrize("moment", ["before Stripe is called", "after Stripe's call", "before the answer is recorded"])
def test_request_of_a_dead_process_is_resumed(case: RefundCase, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class ProcessDiedError(BaseException):
        """Ends the request as a kill would."""

    def die(*_: Any, **__: Any) -> None:
        raise ProcessDiedError

    with monkeypatch.context() as patch:
        if moment == "before Stripe is called":
            patch.setattr(RefundProcessor, "_send", die)
        elif moment == "after Stripe's call":
            case.gateway.errors, case.gateway.errors_after_effect = [ProcessDiedError()], True
        else:
            patch.setattr("orders.refunds.processor.book_refund", die)
        with pytest.raises(ProcessDiedError):
            case.request(amount=1000)
    assert case.booked() == []
    assert case.request(amount=1000).status_code == 202
    assert case.run_worker(timedelta()) == 0, "the lease has not ended"
    assert case.run_worker() == 1
    assert (len(case.gateway.refunds), case.booked()) == (1, [("re_1", 1000, "succeeded")])


def test_claimed_request_is_skipped_by_other_workers(case: RefundCase, monkeypatch: pytest.MonkeyPatch) -> None:
    case.gateway.errors = [StripeAwayError("timed out")]
    case.request(amount=1000)
    find, resumed_by_others = case.gateway.find, []

    def find_slowly(request: RefundRequest) -> StripeObject | None:
        resumed_by_others.append(case.run_worker())
        return find(request)

    monkeypatch.setattr(case.gateway, "find", find_slowly)
    assert (case.run_worker(), resumed_by_others) == (1, [0])


def test_refusal_is_final_and_shown(case: RefundCase) -> None:
    case.gateway.errors = [RefundRefusedError("Charge ch_1 has been charged back.")]
    answer = case.request(amount=1000)
    assert problem_of(answer) == (409, "refund-refused")
    assert "charged back" in answer.get_json()["detail"]
    assert answer.get_json()["refund_request_id"] == case.service.order().refund_requests[0].id
    assert case.request(amount=1000).status_code == 409
    assert (case.run_worker(), len(case.gateway.request_ids)) == (0, 1)
    assert "Stripe refused the refund of 10.00 EUR that ana requested" in case.service.entry_texts()[-1]
    assert case.request("key-2").status_code == 201, "a refused request deducts nothing"


def test_refusal_of_a_retry_is_published_for_staff(case: RefundCase) -> None:
    case.gateway.errors = [StripeAwayError("timed out"), RefundRefusedError("No such charge")]
    case.request(amount=1000)
    case.run_worker()
    assert case.service.published_types()[-1] == "orders.refund.failed"


def test_refund_that_fails_days_later_can_be_made_again(case: RefundCase) -> None:
    case.request()
    case.deliver_webhook("failed", status="failed", failure_reason="expired_or_canceled_card")
    case.deliver_webhook("updated", again="late")  # a stale event, delivered late
    assert case.booked() == [("re_1", TOTAL, "failed")]
    assert case.totals() == (0, "none")
    about_money = [name for name in case.service.published_types() if name.startswith("orders.refund.")]
    assert about_money == ["orders.refund.succeeded", "orders.refund.failed"]
    assert case.request("key-2").get_json()["status"] == "succeeded"
    assert case.totals() == (TOTAL, "full")


DISPUTED = "charge_for_pending_refund_disputed"  # Stripe's


@pytest.mark.parametrize(
    ("reason", "dispute_status", "is_disputed"),
    [
        (DISPUTED, None, True),  # the dispute's own event is late
        (DISPUTED, "needs_response", True),
        ("unknown", "needs_response", True),
        ("unknown", "warning_needs_response", False),
        ("unknown", "won", False),
        ("expired_or_canceled_card", None, False),
    ],
)
def test_failed_refund_of_a_disputed_payment_is_the_banks(
    case: RefundCase, reason: str, dispute_status: str | None, is_disputed: bool
) -> None:
    case.gateway.status = "pending"
    case.request(amount=1000)
    if dispute_status:
        case.service.deliver(case.purchase.dispute(status=dispute_status))
    case.deliver_webhook("failed", status="failed", failure_reason=reason)
    (published,) = case.service.data_of("orders.refund.failed")
    assert (published["failure_reason"], published["is_disputed"]) == (reason, is_disputed)
    shown = case.client.get(f"/orders/{case.service.order().id}", headers=OPERATOR).get_json()
    (text_,) = [entry["text"] for entry in shown["timeline"] if entry["kind"] == "refund-failed"]
    assert ("Pay nothing back: the bank decides" in text_) == is_disputed
    assert ("The shop has the money again" in text_) != is_disputed


def test_refunds_made_in_the_dashboard_are_booked(case: RefundCase) -> None:
    purchase = case.purchase
    case.service.deliver(
        purchase.refund("re_x", 1000),
        purchase.charge_refunded(amount_refunded=1000),
        purchase.refund("re_x", 1000, kind="updated"),
    )
    assert case.totals() == (1000, "partial")
    assert case.request(amount=4739).get_json()["refundable"] == 4738
    assert "made in Stripe's dashboard" in case.service.entry_texts()[-1]


def test_unmatched_refund_is_booked_once_its_payment_arrives(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started())
    service.deliver(purchase.refund("re_1", 1000), purchase.refund("re_foreign", 1000, payment_intent="pi_foreign"))
    assert service.order().refunds == []
    service.deliver(purchase.completed())
    service.retry_waiting()
    assert [refund.id for refund in service.order().refunds] == ["re_1"]
    assert (service.order().amount_refunded, service.unfinished()) == (1000, [])


def test_second_payment_is_refunded_alone(case: RefundCase) -> None:
    case.service.deliver(case.purchase.completed("again", id="cs_2", payment_intent="pi_2"))
    assert case.request(payment_id="pi_2").get_json()["payment_id"] == "pi_2"
    order = case.service.order()
    assert (order.amount_paid, order.amount_refunded, order.refund_status) == (2 * TOTAL, TOTAL, "partial")


def test_payment_with_an_open_chargeback_is_not_refunded(case: RefundCase) -> None:
    case.service.deliver(case.purchase.completed("again", id="cs_2", payment_intent="pi_2"))
    case.service.deliver(case.purchase.dispute(amount=1500), case.purchase.dispute("funds_withdrawn", amount=1500))
    assert problem_of(case.request(amount=1)) == (409, "order-disputed")
    assert case.service.order().refund_requests == []
    assert case.request(key="other", payment_id="pi_2").get_json()["amount"] == TOTAL


def test_two_operators_at_once_refund_no_more_than_was_paid(case_on_postgresql: RefundCase) -> None:
    case = case_on_postgresql
    order_id = case.service.order().id

    def request(number: int) -> int:
        headers = OPERATOR | {"Idempotency-Key": f"key-{number}"}
        client = case.client.application.test_client()
        return client.post(f"/orders/{order_id}/refunds", json={"amount": 2000}, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(request, range(8)))
    assert answers == [201, 201, *[422] * 6]
    assert case.totals() == (4000, "partial")


def test_one_key_at_once_is_one_refund(case_on_postgresql: RefundCase) -> None:
    case = case_on_postgresql
    order_id = case.service.order().id

    def request(_: int) -> int:
        headers = OPERATOR | {"Idempotency-Key": "key"}
        client = case.client.application.test_client()
        return client.post(f"/orders/{order_id}/refunds", json={"all": True}, headers=headers).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(request, range(6)))
    assert answers <= {201, 202}
    assert (len(case.gateway.refunds), case.booked()) == (1, [("re_1", TOTAL, "succeeded")])


def test_webhook_answer_and_worker_at_once_book_once(case_on_postgresql: RefundCase) -> None:
    case = case_on_postgresql
    case.gateway.errors, case.gateway.errors_after_effect = [StripeAwayError("timed out")], True
    case.request(amount=1000)
    tasks: list[Callable[[], object]] = [
        case.run_worker,
        case.deliver_webhook,
        lambda: case.deliver_webhook("updated"),
        case.run_worker,
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda task: task(), tasks))
    assert case.booked() == [("re_1", 1000, "succeeded")]
    assert case.service.published_types().count("orders.refund.succeeded") == 1
    with case.service.database.read() as session:
        assert session.scalars(select(RefundRequest.next_attempt_at)).one() is None


def test_unmatched_refunds_of_a_batch_lock_in_one_order(case_on_postgresql: RefundCase) -> None:
    service, purchase = case_on_postgresql.service, case_on_postgresql.purchase
    unmatched = [purchase.refund(f"re_{n}", 10, payment_intent=f"pi_{n}") for n in (3, 2)]
    held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    with service.database.begin() as session:
        handlers.run_preparations(unmatched, session)
        assert session.scalar(held) == len(unmatched)


def test_refund_and_its_payment_at_once_are_matched(case_on_postgresql: RefundCase) -> None:
    """The refund's transaction does not see the payment, and is still open when the payment arrives."""
    service, purchase = case_on_postgresql.service, case_on_postgresql.purchase
    refund = purchase.refund("re_1", 10, payment_intent="pi_2")
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with service.database.begin() as session:
            inbox.claim_new(session, [refund])
            handlers.run(refund, session)
            session.flush()
            payment = pool.submit(service.deliver, purchase.completed("2", id="cs_2", payment_intent="pi_2"))
            while not payment.done():
                with service.database.read() as observer:
                    if observer.scalar(waiting):
                        break
        assert payment.result(timeout=10) == ["done"]
    service.retry_waiting()
    assert [one.id for one in service.order().refunds] == ["re_1"]


@pytest.mark.parametrize("is_delayed", [False, True], ids=["card", "delayed payment"])
def test_refund_before_the_address_is_published_again(
    service: OrdersService, purchase: Purchase, is_delayed: bool
) -> None:
    """The session's event can come last, for example from the backfill. Only then is the customer's address known."""
    without_address = purchase.started(customer_email=None)
    service.deliver(without_address, purchase.intent_succeeded(), purchase.refund("re_1", 1000))
    service.deliver(*[purchase.unpaid()] * is_delayed, purchase.completed())
    addresses = [data["customer_email"] for data in service.data_of("orders.refund.succeeded")]
    assert (addresses[0], len(addresses)) == (None, 2)
    assert addresses[1] == service.order("chk_1").customer_email
