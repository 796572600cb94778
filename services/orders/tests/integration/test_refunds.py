"""Refunds by operators and from Stripe's dashboard: stored before Stripe is asked, made once, booked once."""

import threading
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
from orders.handlers import handlers
from orders.models.chains import CHAINS
from orders.models.refunds import RefundRequest
from orders.refunds.gateway import RefundRefusedError, StripeUnavailableError
from orders.refunds.processor import RefundProcessor
from sqlalchemy import select, text

OPERATOR = {"Authorization": "Bearer operator-token-of-ana"}
TOTAL = 5738


class Stripe:
    """Refunds at a Stripe that one can make fail: `trouble` is raised by the next calls, `after` they took effect."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}  # by idempotency key
        self.trouble: list[Exception] = []
        self.after = False
        self.forgets_keys = False
        self.calls: list[str] = []
        self.status = "succeeded"
        self._lock = threading.Lock()

    def create(self, intention: RefundRequest) -> dict[str, Any]:
        with self._lock:
            self.calls.append(intention.id)
            if self.trouble and not self.after:
                raise self.trouble.pop(0)
            key = f"{intention.id}-{len(self.calls)}" if self.forgets_keys else intention.id
            made = self.made.setdefault(key, self._refund(intention))
            if self.trouble:
                raise self.trouble.pop(0)
            return made

    def find(self, intention: RefundRequest) -> dict[str, Any] | None:
        ours = {"refund_request": intention.id}
        return next((made for made in self.made.values() if ours.items() <= made["metadata"].items()), None)

    def _refund(self, intention: RefundRequest) -> dict[str, Any]:
        metadata = {"checkout_id": intention.checkout_id, "refund_request": intention.id}
        return {
            "id": f"re_{len(self.made) + 1}",
            "object": "refund",
            "amount": intention.amount,
            "created": 1_793_600_000,
            "currency": intention.currency,
            "metadata": metadata,
            "payment_intent": intention.payment_id,
            "reason": intention.reason,
            "status": self.status,
        }


class Counter:
    """The operators' desk for refunds of one order."""

    def __init__(self, desk: Any, client: FlaskClient, stripe: Stripe, bought: Any) -> None:
        self.desk, self.client, self.stripe, self.bought = desk, client, stripe, bought
        self.refunding = RefundProcessor(desk.database, stripe)  # type: ignore[arg-type]

    def ask(self, key: str = "key-1", **wish: Any) -> Any:
        headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
        return self.client.post(f"/orders/{self.desk.order().id}/refunds", json=wish, headers=headers)

    def resume(self, after: timedelta = timedelta(hours=2)) -> int:
        """What the worker does, so much later."""
        return self.refunding.resume_due(utcnow() + after)

    def webhook(self, kind: str = "created", again: str = "", **changes: Any) -> str:
        """Stripe tells of the last refund it made."""
        refund = list(self.stripe.made.values())[-1] | changes
        [outcome] = self.desk.tell(self.bought.stripe(f"refund.{kind}", refund, f"{refund['status']}{again}"))
        return outcome

    def booked(self) -> list[tuple[str, int, str]]:
        return [(refund.id, refund.amount, refund.status) for refund in self.desk.order().refunds]

    def sums(self) -> tuple[int, str]:
        order = self.desk.order()
        return order.amount_refunded, order.refund_status


@pytest.fixture
def stripe() -> Stripe:
    return Stripe()


@pytest.fixture
def counter(config: Any, database: Database, desk: Any, stripe: Stripe, bought: Any) -> Counter:
    """At a paid order."""
    desk.tell(bought.started(), bought.completed())
    return Counter(desk, create_app(config, database=database, gateway=stripe).test_client(), stripe, bought)  # type: ignore[arg-type]


@pytest.fixture
def counter_on_postgresql(
    config: Any, postgres_database: MakeDatabase, desk_on: Callable[..., Any], stripe: Stripe, bought: Any
) -> Counter:
    database = postgres_database(CHAINS)
    desk = desk_on(database)
    desk.tell(bought.started(), bought.completed())
    return Counter(desk, create_app(config, database=database, gateway=stripe).test_client(), stripe, bought)  # type: ignore[arg-type]


def test_whole_refund_is_made_and_booked(counter: Counter) -> None:
    answer = counter.ask(reason="requested_by_customer", note="Too small")
    assert answer.status_code == 201, answer.get_json()
    body = answer.get_json()
    assert (body["status"], body["amount"], body["currency"], body["refund_id"]) == ("succeeded", TOTAL, "eur", "re_1")
    assert (body["requested_by"], body["reason"]) == ("ana", "requested_by_customer")
    assert counter.sums() == (TOTAL, "full")
    assert [counter.webhook(), counter.webhook("updated")] == ["done", "done"]
    assert counter.booked() == [("re_1", TOTAL, "succeeded")]
    assert counter.desk.types() == ["orders.order.paid", "orders.refund.succeeded"]
    assert counter.desk.story()[-2:] == [
        "ana requested a refund of 57.38 EUR for 2 x TEE-M, 1 x SOCK. “Too small”",
        "57.38 EUR was refunded to the customer (re_1, requested by ana). Refunded so far: 57.38 EUR.",
    ]


def test_webhook_that_beats_the_answer_books_the_same_refund(counter: Counter) -> None:
    create = counter.stripe.create

    def slow(intention: RefundRequest) -> dict[str, Any]:
        made = create(intention)
        counter.webhook()
        return made

    counter.stripe.create = slow  # type: ignore[method-assign]
    assert counter.ask(amount=1000).get_json()["status"] == "succeeded"
    assert counter.booked() == [("re_1", 1000, "succeeded")]
    assert counter.desk.types().count("orders.refund.succeeded") == 1


def test_double_click_refunds_once(counter: Counter) -> None:
    first, second = counter.ask(amount=1000), counter.ask(amount=1000)
    assert first.get_json() == second.get_json()
    assert (second.status_code, counter.stripe.calls) == (201, [first.get_json()["id"]])


def test_key_for_another_refund_is_refused(counter: Counter) -> None:
    counter.ask(amount=1000)
    assert counter.ask(amount=1001).get_json()["type"].endswith("idempotency-key-reused")
    missing = counter.ask(key="", amount=1000)
    assert (missing.status_code, missing.get_json()["type"]) == (400, "urn:clozit:problem:idempotency-key-required")


def test_more_than_is_left_is_refused_before_stripe_is_asked(counter: Counter) -> None:
    counter.ask(amount=5000)
    answer = counter.ask("key-2", amount=739)
    assert (answer.status_code, answer.get_json()["refundable"]) == (422, 738)
    assert len(counter.stripe.calls) == 1
    assert counter.ask("key-3").get_json()["amount"] == 738
    assert counter.ask("key-4").get_json()["refundable"] == 0
    assert counter.sums() == (TOTAL, "full")


def test_what_is_asked_for_and_unanswered_is_not_left(counter: Counter) -> None:
    counter.stripe.trouble = [StripeUnavailableError("timeout")]
    assert counter.ask(amount=5000).status_code == 202
    assert counter.ask("key-2", amount=739).get_json()["refundable"] == 738


def test_nothing_is_refunded_of_an_order_that_nobody_paid(
    config: Any, database: Database, desk: Any, stripe: Stripe, bought: Any
) -> None:
    desk.tell(bought.started())
    client = create_app(config, database=database, gateway=stripe).test_client()  # type: ignore[arg-type]
    assert Counter(desk, client, stripe, bought).ask().get_json()["type"] == "urn:clozit:problem:order-not-paid"
    headers = OPERATOR | {"Idempotency-Key": "k"}
    assert client.post("/orders/ord_unknown/refunds", json={}, headers=headers).status_code == 404
    assert client.post("/orders/ord_unknown/refunds", json={}).status_code == 401


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 100, "lines": [{"sku": "SOCK", "quantity": 1}]}, "amount"),
        ({"amount": 100, "restock": True}, "restock"),
        ({"lines": [{"sku": "HAT", "quantity": 1}]}, "lines"),
        ({"lines": [{"sku": "SOCK", "quantity": 2}]}, "lines"),
        ({"lines": [{"sku": "TEE-M", "quantity": 1}] * 3}, "lines"),
        ({"payment_id": "pi_foreign"}, "payment_id"),
        ({"reason": "whim"}, "reason"),
    ],
)
def test_wishes_that_make_no_sense_are_named(counter: Counter, wish: dict[str, Any], field: str) -> None:
    answer = counter.ask(**wish)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert counter.stripe.calls == []


def test_lines_go_back_to_the_shelf_once(counter: Counter) -> None:
    lines = [{"sku": "TEE-M", "quantity": 1, "restock": True}, {"sku": "SOCK", "quantity": 1}]
    intention = counter.ask(lines=lines).get_json()
    assert intention["amount"] == 1999 + 1250
    counter.webhook()
    [returned] = [event.data for event in counter.desk.published() if event.type == "orders.stock.returned"]
    assert (returned["return_id"], returned["lines"]) == (intention["id"], [{"sku": "TEE-M", "quantity": 1}])
    assert counter.ask("key-2", lines=[{"sku": "SOCK", "quantity": 1}]).status_code == 422
    assert counter.ask("key-3", restock=True).get_json()["lines"] == [{"sku": "TEE-M", "quantity": 1, "restock": True}]


def test_stripe_that_does_not_answer_is_asked_again_under_the_same_key(counter: Counter) -> None:
    counter.stripe.trouble = [StripeUnavailableError("APIConnectionError: timed out"), StripeUnavailableError("500")]
    answer = counter.ask(amount=1000)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "requested")
    assert counter.ask(amount=1000).status_code == 202
    assert counter.resume(timedelta()) == 0, "not at once"
    assert counter.resume() == 1
    assert counter.sums() == (0, "none")
    assert counter.resume(timedelta(hours=4)) == 1
    assert counter.resume(timedelta(hours=4)) == 0
    assert (set(counter.stripe.calls), len(counter.stripe.made)) == ({answer.get_json()["id"]}, 1)
    assert counter.sums() == (1000, "partial")
    assert counter.ask(amount=1000).status_code == 201
    assert sum("has not answered" in text for text in counter.desk.story()) == 1


@pytest.mark.parametrize("forgets_keys", [False, True], ids=["soon", "after Stripe has forgotten the key"])
def test_answer_that_got_lost_is_found_at_stripe(counter: Counter, *, forgets_keys: bool) -> None:
    counter.stripe.trouble, counter.stripe.after = [StripeUnavailableError("timed out")], True
    counter.stripe.forgets_keys = forgets_keys
    assert counter.ask(amount=1000).status_code == 202
    assert counter.resume(timedelta(days=2)) == 1
    assert (len(counter.stripe.made), counter.booked()) == (1, [("re_1", 1000, "succeeded")])


@pytest.mark.parametrize("moment", ["before Stripe is called", "after Stripe's call", "before the answer is recorded"])
def test_process_that_dies_is_resumed_by_the_worker(
    counter: Counter, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        """As a kill would."""

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        if moment == "before Stripe is called":
            patch.setattr(RefundProcessor, "_send", die)
        elif moment == "after Stripe's call":
            counter.stripe.trouble, counter.stripe.after = [Died()], True  # type: ignore[list-item]
        else:
            patch.setattr("orders.refunds.processor.record_refund", die)
        with pytest.raises(Died):
            counter.ask(amount=1000)
    assert counter.booked() == []
    assert counter.ask(amount=1000).status_code == 202
    assert counter.resume(timedelta()) == 0, "it may be in hand"
    assert counter.resume() == 1
    assert (len(counter.stripe.made), counter.booked()) == (1, [("re_1", 1000, "succeeded")])


def test_what_one_worker_has_in_hand_another_leaves_alone(counter: Counter) -> None:
    counter.stripe.trouble = [StripeUnavailableError("timed out")]
    counter.ask(amount=1000)
    find, others = counter.stripe.find, []

    def slow(intention: RefundRequest) -> Any:
        others.append(counter.resume())
        return find(intention)

    counter.stripe.find = slow  # type: ignore[method-assign]
    assert (counter.resume(), others) == (1, [0])


def test_refusal_is_final_and_said(counter: Counter) -> None:
    counter.stripe.trouble = [RefundRefusedError("Charge ch_1 has been charged back.")]
    answer = counter.ask(amount=1000)
    assert (answer.status_code, answer.get_json()["type"]) == (409, "urn:clozit:problem:refund-refused")
    assert "charged back" in answer.get_json()["detail"]
    assert counter.ask(amount=1000).status_code == 409
    assert (counter.resume(), len(counter.stripe.calls)) == (0, 1)
    assert "Stripe refused the refund of 10.00 EUR that ana requested" in counter.desk.story()[-1]
    assert counter.ask("key-2").status_code == 201, "nothing is taken up by what was refused"


def test_refusal_that_nobody_waits_for_is_told_to_staff(counter: Counter) -> None:
    counter.stripe.trouble = [StripeUnavailableError("timed out"), RefundRefusedError("No such charge")]
    counter.ask(amount=1000)
    counter.resume()
    assert counter.desk.types()[-1] == "orders.refund.failed"


def test_refund_that_fails_days_later_can_be_made_again(counter: Counter) -> None:
    counter.ask()
    counter.webhook("failed", status="failed", failure_reason="expired_or_canceled_card")
    counter.webhook("updated", again="late")  # an older word of it, delivered late
    assert counter.booked() == [("re_1", TOTAL, "failed")]
    assert counter.sums() == (0, "none")
    assert counter.desk.types()[-2:] == ["orders.refund.succeeded", "orders.refund.failed"]
    assert counter.ask("key-2").get_json()["status"] == "succeeded"
    assert counter.sums() == (TOTAL, "full")


def test_refunds_made_in_the_dashboard_are_booked(counter: Counter) -> None:
    bought = counter.bought
    counter.desk.tell(
        bought.refund("re_x", 1000),
        bought.charge_refunded(amount_refunded=1000),
        bought.refund("re_x", 1000, kind="updated"),
    )
    assert counter.sums() == (1000, "partial")
    assert counter.ask(amount=4739).get_json()["refundable"] == 4738
    assert "made in Stripe's dashboard" in counter.desk.story()[-1]


def test_refund_of_others_is_ignored_and_one_that_came_early_is_not_lost(desk: Any, bought: Any) -> None:
    desk.tell(bought.started())
    desk.tell(bought.refund("re_1", 1000), bought.refund("re_foreign", 1000, payment_intent="pi_foreign"))
    assert desk.order().refunds == []
    desk.tell(bought.completed())
    desk.settle()
    assert [refund.id for refund in desk.order().refunds] == ["re_1"]
    assert (desk.order().amount_refunded, desk.unhandled()) == (1000, [])


def test_second_payment_is_refunded_alone(counter: Counter) -> None:
    counter.desk.tell(counter.bought.completed("again", id="cs_2", payment_intent="pi_2"))
    assert counter.ask(payment_id="pi_2").get_json()["payment_id"] == "pi_2"
    order = counter.desk.order()
    assert (order.amount_paid, order.amount_refunded, order.refund_status) == (2 * TOTAL, TOTAL, "partial")


def test_money_that_the_bank_has_taken_is_not_refunded(counter: Counter) -> None:
    counter.desk.tell(counter.bought.dispute(), counter.bought.dispute("funds_withdrawn"))
    assert counter.ask().get_json()["refundable"] == 0


def test_two_operators_at_once_refund_no_more_than_was_paid(counter_on_postgresql: Counter) -> None:
    counter = counter_on_postgresql
    order_id = counter.desk.order().id

    def ask(number: int) -> int:
        headers = OPERATOR | {"Idempotency-Key": f"key-{number}"}
        client = counter.client.application.test_client()
        return client.post(f"/orders/{order_id}/refunds", json={"amount": 2000}, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(ask, range(8)))
    assert answers == [201, 201, *[422] * 6]
    assert counter.sums() == (4000, "partial")


def test_one_key_at_once_is_one_refund(counter_on_postgresql: Counter) -> None:
    counter = counter_on_postgresql
    order_id = counter.desk.order().id

    def ask(_: int) -> int:
        headers = OPERATOR | {"Idempotency-Key": "key"}
        client = counter.client.application.test_client()
        return client.post(f"/orders/{order_id}/refunds", json={}, headers=headers).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(ask, range(6)))
    assert answers <= {201, 202}
    assert (len(counter.stripe.made), counter.booked()) == (1, [("re_1", TOTAL, "succeeded")])


def test_webhook_answer_and_worker_at_once_book_once(counter_on_postgresql: Counter) -> None:
    counter = counter_on_postgresql
    counter.stripe.trouble, counter.stripe.after = [StripeUnavailableError("timed out")], True
    counter.ask(amount=1000)
    tasks = [counter.resume, counter.webhook, lambda: counter.webhook("updated"), counter.resume]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda task: task(), tasks))
    assert counter.booked() == [("re_1", 1000, "succeeded")]
    assert counter.desk.types().count("orders.refund.succeeded") == 1
    with counter.desk.database.read() as session:
        assert session.scalars(select(RefundRequest.next_attempt_at)).one() is None


def test_early_refunds_of_a_batch_take_turns_in_one_order(counter_on_postgresql: Counter) -> None:
    desk, bought = counter_on_postgresql.desk, counter_on_postgresql.bought
    early = [bought.refund(f"re_{n}", 10, payment_intent=f"pi_{n}") for n in (3, 2)]
    held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    with desk.database.begin() as session:
        handlers.run_preparations(early, session)
        assert session.scalar(held) == len(early)


def test_early_refund_and_its_payment_at_once_meet(counter_on_postgresql: Counter) -> None:
    """The refund's transaction has not seen the payment, and is still open when the payment's comes."""
    desk, bought = counter_on_postgresql.desk, counter_on_postgresql.bought
    refund = bought.refund("re_1", 10, payment_intent="pi_2")
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with desk.database.begin() as session:
            inbox.claim_new(session, [refund])
            handlers.run(refund, session)
            session.flush()
            payment = pool.submit(desk.tell, bought.completed("2", id="cs_2", payment_intent="pi_2"))
            while not payment.done():
                with desk.database.read() as observer:
                    if observer.scalar(waiting):
                        break
        assert payment.result(timeout=10) == ["done"]
    desk.settle()
    assert [one.id for one in desk.order().refunds] == ["re_1"]
