"""Discounts: the amount off, the conditions and limits, and the counting of uses in every outcome of a checkout."""

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from checkout import catalog, discounts
from checkout.creation import CheckoutRequest
from checkout.errors import AmountTooSmallError, InvalidCartError
from checkout.models import HELD, RELEASED, USED, Checkout, Discount, DiscountUse, ShippingOption
from checkout.pricing import Item
from checkout.problems import PROBLEMS
from checkout.schemas.discounts import DiscountFields

CREATE = "/v1/checkout/sessions"
CONCURRENT_CUSTOMERS = 8
Uses = Mapping[str, int]


@pytest.fixture
def put() -> Callable[..., None]:
    def put(system: Any, **values: Any) -> None:
        loaded = DiscountFields().load({"percent_off": 10} | values)
        with system.database.begin() as session:
            catalog.put_entry(session, Discount, "SPRING", loaded)

    return put


def buy(system: Any, key: str = "key-1", **fields: Any) -> Any:
    return system.start(key, discount_code="SPRING", **fields)


def uses(system: Any) -> Uses:
    with system.database.read() as session:
        return discounts.count_uses(session, ["SPRING"])["SPRING"]


def refusal(system: Any, key: str = "another", **fields: Any) -> str:
    """Return the message of a refused start, with its field."""
    with pytest.raises(InvalidCartError) as refused:
        buy(system, key, **fields)
    [(field, [message])] = refused.value.errors.items()
    return f"{field}: {message}"


@pytest.mark.parametrize(
    ("values", "fields", "message"),
    [
        ({"active": False}, {}, "discount_code: This code is not valid. Correct it, or pay without it."),
        ({"starts_at": "2026-05-04T10:01:00Z"}, {}, "discount_code: This code is valid from 2026-05-04 10:01 UTC. Pay"),
        ({"ends_at": "2026-05-04T10:00:00Z"}, {}, "discount_code: This code was valid until 2026-05-04 10:00 UTC. Pay"),
        ({"minimums": {"eur": 4999}}, {}, "discount_code: This code needs goods for 49.99 EUR or more. Add items"),
        ({"minimums": {"eur": 100}}, {"currency": "usd"}, "discount_code: This code is not valid in USD. Pay in"),
        (
            {"percent_off": None, "amounts_off": {"eur": 100}},
            {"currency": "usd"},
            "discount_code: This code is not valid in USD.",
        ),
        ({"limit_per_email": 1}, {}, "customer_email: This discount_code is limited per customer. Send"),
    ],
)
def test_code_that_does_not_apply_returns_the_remedy(
    system: Any, put: Any, values: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    put(system, **values)
    assert refusal(system, **fields).startswith(message)
    assert system.stripe.calls == []
    assert system.inventory.reservations == {}


def test_code_applies_from_its_start_and_its_minimum(system: Any, put: Any) -> None:
    put(system, starts_at="2026-05-04T10:00:00Z", ends_at="2026-05-04T10:00:01Z", minimums={"eur": 4998})
    assert buy(system).amount_discount == 500


@pytest.mark.parametrize(
    ("prices", "currency", "off", "lines"),
    [
        ({"isk": 99500}, "isk", 29900, [89500, 179100]),
        ({"kwd": 12340}, "kwd", 3700, [11110, 22210]),
        ({"jpy": 3900}, "jpy", 1170, [3510, 7020]),
    ],
)
def test_percentage_is_rounded_to_amounts_of_stripe(
    system: Any, put: Any, prices: dict[str, int], currency: str, off: int, lines: list[int]
) -> None:
    catalog.seed(
        system.database,
        {
            "products": [{"sku": sku, "group": "G", "name": sku, "prices": prices} for sku in ("CAP", "TEE-M")],
            "shipping_options": [
                {"id": "standard", "name": "Standard", "amounts": {currency: 0}, "min_days": 2, "max_days": 4}
            ],
        },
    )
    put(system, percent_off=10)
    items = [Item("CAP", 1), Item("TEE-M", 2)]
    request = CheckoutRequest(currency=currency, items=items, discount_code="SPRING")
    checkout = system.checkouts.start(request, "key")
    assert checkout.amount_discount == off
    assert [line["amount_total"] for line in checkout.lines] == lines
    assert system.stripe.coupons[checkout.id]["amount_off"] == str(off)


def test_total_below_the_minimum_charge_is_refused_unless_zero(system: Any, put: Any) -> None:
    request = CheckoutRequest(items=[Item("CAP", 1)], discount_code="SPRING")
    with system.database.begin() as session:
        session.query(ShippingOption).delete()
    put(system, percent_off=98)
    with pytest.raises(AmountTooSmallError) as refused:
        system.checkouts.start(request, "key")
    problem = PROBLEMS[type(refused.value)](refused.value)
    assert "The total of 0.35 EUR is below the minimum charge of 0.50 EUR." in problem.detail
    assert problem.members == {"amount_total": 35, "currency": "eur", "minimum": 50}
    put(system, percent_off=100)
    assert system.checkouts.start(request, "key").amount_total == 0


def paid(system: Any, checkout: Any) -> None:
    system.deliver_session_event("completed", checkout.id)


def free(system: Any, checkout: Any) -> None:
    system.deliver_session_event("completed", checkout.id, payment_status="no_payment_required")


def pending(system: Any, checkout: Any) -> None:
    system.deliver_session_event("completed", checkout.id, payment_status="unpaid")


def succeeded(system: Any, checkout: Any) -> None:
    system.deliver_session_event("async_payment_succeeded", checkout.id)


def failed(system: Any, checkout: Any) -> None:
    system.deliver_session_event("async_payment_failed", checkout.id, payment_status="unpaid")


def expired(system: Any, checkout: Any) -> None:
    system.deliver_session_event("expired", checkout.id, payment_status="unpaid", status="expired")


def recovered(system: Any, checkout: Any) -> None:
    system.deliver_session_event("completed", checkout.id, id="cs_test_2", recovered_from="cs_test_1")


def canceled(system: Any, checkout: Any) -> None:
    system.checkouts.cancel(checkout.id)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([], HELD),
        ([paid], USED),
        ([free], USED),
        ([pending], HELD),
        ([pending, succeeded], USED),
        ([pending, failed], RELEASED),
        ([expired], RELEASED),
        ([canceled], RELEASED),
        ([expired, paid], USED),
        ([canceled, paid], USED),
        ([expired, recovered], USED),
    ],
)
def test_use_follows_the_facts_in_any_order_with_duplicates(
    system: Any, put: Any, facts: list[Any], status: str
) -> None:
    put(system, limit_total=1000)
    orders = sorted(set(itertools.permutations(facts * 2)), key=str)[:30]
    for number, order in enumerate(orders):
        system.stripe.sessions.clear()
        system.inventory.reservations.clear()
        with system.database.begin() as session:
            session.query(DiscountUse).delete()
            session.query(Checkout).delete()
        checkout = buy(system, f"key-{number}")
        for fact in order:
            if fact is canceled and system.stored_checkout().status == "complete":
                continue
            fact(system, checkout)
        with system.database.read() as session:
            assert [use.status for use in session.query(DiscountUse)] == [status], order


def test_total_limit_counts_held_and_used_uses(any_system: Any, put: Any) -> None:
    put(any_system, limit_total=1)
    first = buy(any_system)
    assert "Unpaid checkouts hold the last uses" in refusal(any_system)
    expired(any_system, first)
    second = buy(any_system, "key-2")
    assert uses(any_system) == {USED: 0, HELD: 1}
    any_system.deliver_session_event("completed", second.id, id="cs_test_2")
    assert uses(any_system) == {USED: 1, HELD: 0}
    assert "This code has been used as often as allowed" in refusal(any_system)


def test_payment_after_expiry_counts_beyond_the_limit(any_system: Any, put: Any) -> None:
    put(any_system, limit_total=1)
    first = buy(any_system)
    expired(any_system, first)
    second = buy(any_system, "key-2")
    any_system.deliver_session_event("completed", second.id, id="cs_test_2")
    any_system.deliver_session_event("completed", first.id, id="cs_test_9", recovered_from="cs_test_1")
    assert uses(any_system) == {USED: 2, HELD: 0}
    assert "This code has been used as often as allowed" in refusal(any_system)


def test_limit_per_customer_ignores_the_case_of_the_email(system: Any, put: Any) -> None:
    put(system, limit_per_email=1)
    first = buy(system, customer_email="zoe@example.com")
    while_held = refusal(system, customer_email="Zoe@Example.com")
    assert "this e-mail address has no use left" in while_held
    assert buy(system, "key-2", customer_email="ada@example.com").amount_discount == 500
    paid(system, first)
    assert refusal(system, customer_email="zoe@EXAMPLE.com") == while_held, "anyone could learn which one it is"


def test_operator_raises_the_limit_and_reads_the_counts(system: Any, put: Any) -> None:
    put(system, limit_total=1)
    paid(system, buy(system))
    assert "This code has been used as often as allowed" in refusal(system)
    put(system, limit_total=2)
    buy(system, "key-2")
    headers = {"Authorization": "Bearer operator-token-0123"}
    client = system.create_app().test_client()
    shown = client.get("/catalog/discounts/spring", headers=headers).json
    assert (shown["used"], shown["held"], shown["limit_total"], shown["percent_off"]) == (1, 1, 2, 10)
    assert client.get("/catalog/discounts", headers=headers).json == {"items": [shown], "next_cursor": None}
    assert client.put("/catalog/discounts/spring", json={"percent_off": 20}, headers=headers).json["used"] == 1
    assert client.get("/catalog/discounts/none", headers=headers).status_code == 404
    assert client.get("/catalog/discounts").status_code == 401


def test_repeated_request_holds_one_use(any_system: Any, put: Any) -> None:
    put(any_system, limit_total=1)
    assert buy(any_system).id == buy(any_system).id
    assert uses(any_system) == {USED: 0, HELD: 1}


@pytest.mark.parametrize("where", ["before", "after"])
def test_use_of_a_dead_request_is_released_by_the_sweeper(system: Any, put: Any, crash: Any, where: str) -> None:
    put(system, limit_total=1)
    setattr(system.stripe, where, crash.once(CREATE))
    with pytest.raises(crash.error):
        buy(system)
    assert uses(system) == {USED: 0, HELD: 1}
    system.sweeper.run(system.clock.advance(minutes=2))
    system.sweeper.run(system.clock.advance(minutes=2))
    assert uses(system) == {USED: 0, HELD: 0}


@pytest.mark.parametrize(("outcome", "expected"), [("complete", {USED: 1, HELD: 0}), ("expired", {USED: 0, HELD: 0})])
def test_use_follows_the_session_read_by_the_sweeper(system: Any, put: Any, outcome: str, expected: Uses) -> None:
    put(system, limit_total=1)
    checkout = buy(system)
    system.stripe.sessions["cs_test_1"].update(status=outcome, payment_status="paid", url=None)
    system.sweeper.run(checkout.expires_at + timedelta(minutes=5))
    assert uses(system) == expected


def test_payment_without_a_stored_use_inserts_it(system: Any, put: Any) -> None:
    put(system)
    checkout = buy(system)
    with system.database.begin() as session:
        session.query(DiscountUse).delete()
    paid(system, checkout)
    assert uses(system) == {USED: 1, HELD: 0}


@pytest.mark.parametrize(("limits", "emails"), [({"limit_total": 3}, False), ({"limit_per_email": 3}, True)])
def test_concurrent_customers_get_only_the_remaining_uses(
    make_system: Any, postgres_database: Any, put: Any, limits: dict[str, int], emails: bool
) -> None:
    system = make_system(postgres_database)
    system.inventory.stock["TEE-M"] = 100
    put(system, **limits)
    start = Barrier(CONCURRENT_CUSTOMERS)

    def customer(number: int) -> bool:
        start.wait(30)
        try:
            buy(system, f"key-{number}", **({"customer_email": f"Zoe@{'x' * (number % 2)}.test"} if emails else {}))
        except InvalidCartError:
            return False
        return True

    with ThreadPoolExecutor(CONCURRENT_CUSTOMERS) as pool:
        accepted = list(pool.map(customer, range(CONCURRENT_CUSTOMERS)))
    assert sum(accepted) == (6 if emails else 3)
    assert uses(system) == {USED: 0, HELD: sum(accepted)}


def test_concurrent_repeats_on_the_last_use_start_one_checkout(
    make_system: Any, postgres_database: Any, put: Any
) -> None:
    system = make_system(postgres_database)
    put(system, limit_total=1)
    with ThreadPoolExecutor(CONCURRENT_CUSTOMERS) as pool:
        bought = list(pool.map(lambda _: buy(system).id, range(CONCURRENT_CUSTOMERS)))
    assert len(set(bought)) == 1
    assert uses(system) == {USED: 0, HELD: 1}


def test_blank_discount_code_is_no_discount(client: Any) -> None:
    cart = {"items": [{"sku": "TEE-M", "quantity": 1}], "discount_code": "   "}
    assert client.post("/checkout/sessions", json=cart).status_code == 201
