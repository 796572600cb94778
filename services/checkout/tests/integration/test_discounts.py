"""What a code takes off, who may use it, and that its uses are counted whatever happens to the checkouts."""

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from checkout import catalogue, discounts
from checkout.models import HELD, RELEASED, USED, Discount, DiscountUse
from checkout.pricing import Item
from checkout.problems import AmountTooSmall, Invalid
from checkout.schemas import DiscountFields

CREATE = "/v1/checkout/sessions"
AT_ONCE = 8
Uses = Mapping[str, int]


@pytest.fixture
def put() -> Callable[..., None]:
    def put(world: Any, **values: Any) -> None:
        loaded = DiscountFields().load({"percent_off": 10} | values)
        with world.database.begin() as session:
            catalogue.put(session, Discount, "SPRING", loaded)

    return put


def buy(world: Any, key: str = "key-1", **wish: Any) -> Any:
    return world.start(key, discount_code="SPRING", **wish)


def uses(world: Any) -> Uses:
    with world.database.read() as session:
        return discounts.counts(session, ["SPRING"])["SPRING"]


def refusal(world: Any, key: str = "another", **wish: Any) -> str:
    with pytest.raises(Invalid) as refused:
        buy(world, key, **wish)
    [(field, [message])] = refused.value.members["errors"].items()
    return f"{field}: {message}"


@pytest.mark.parametrize(
    ("values", "wish", "message"),
    [
        ({"active": False}, {}, "discount_code: Not valid. Correct it, or pay without it."),
        ({"starts_at": "2026-05-04T10:01:00Z"}, {}, "discount_code: Not valid before 2026-05-04 10:01 UTC."),
        ({"ends_at": "2026-05-04T10:00:00Z"}, {}, "discount_code: Was valid until 2026-05-04 10:00 UTC. Pay"),
        ({"minimums": {"eur": 4999}}, {}, "discount_code: Valid for goods of 49.99 EUR or more. Add to"),
        ({"minimums": {"eur": 100}}, {"currency": "usd"}, "discount_code: Not valid in usd. Pay in another currency"),
        ({"percent_off": None, "amounts_off": {"eur": 100}}, {"currency": "usd"}, "discount_code: Not valid in usd."),
        ({"limit_per_email": 1}, {}, "customer_email: Needed for this discount_code"),
    ],
)
def test_code_that_does_not_apply_says_what_to_do(
    world: Any, put: Any, values: dict[str, Any], wish: dict[str, Any], message: str
) -> None:
    put(world, **values)
    assert refusal(world, **wish).startswith(message)
    assert world.stripe.calls == []
    assert world.inventory.reservations == {}


def test_code_applies_from_its_start_with_its_minimum(world: Any, put: Any) -> None:
    put(world, starts_at="2026-05-04T10:00:00Z", ends_at="2026-05-04T10:00:01Z", minimums={"eur": 4998})
    assert buy(world).amount_discount == 500


@pytest.mark.parametrize(
    ("prices", "currency", "off", "lines"),
    [
        ({"isk": 99500}, "isk", 29900, [89500, 179100]),
        ({"kwd": 12340}, "kwd", 3700, [11110, 22210]),
        ({"jpy": 3900}, "jpy", 1170, [3510, 7020]),
    ],
)
def test_percentage_ends_in_amounts_that_stripe_takes(
    world: Any, put: Any, prices: dict[str, int], currency: str, off: int, lines: list[int]
) -> None:
    catalogue.seed(
        world.database,
        {"products": [{"sku": sku, "group": "G", "name": sku, "prices": prices} for sku in ("CAP", "TEE-M")]},
    )
    put(world, percent_off=10)
    checkout = world.checkouts.start(
        wish(currency=currency, items=[Item("CAP", 1), Item("TEE-M", 2)], discount_code="SPRING"), "key"
    )
    assert checkout.amount_discount == off
    assert [line["amount_total"] for line in checkout.lines] == lines
    assert world.stripe.coupons[checkout.id]["amount_off"] == str(off)


def wish(**values: Any) -> Any:
    from checkout.agreements import Wish

    return Wish(**values)


def test_cart_of_less_than_can_be_charged_is_refused_unless_it_is_free(world: Any, put: Any) -> None:
    free = {"items": [Item("CAP", 1)], "discount_code": "SPRING"}
    with world.database.begin() as session:
        session.query(catalogue.ShippingOption).delete()
    put(world, percent_off=98)
    with pytest.raises(AmountTooSmall, match=r"comes to 0\.35 EUR. Less than 0\.50 EUR cannot be charged") as refused:
        world.checkouts.start(wish(**free), "key")
    assert refused.value.members == {"amount_total": 35, "currency": "eur", "minimum": 50}
    put(world, percent_off=100)
    assert world.checkouts.start(wish(**free), "key").amount_total == 0


def paid(world: Any, checkout: Any) -> None:
    world.tell("completed", checkout.id)


def free(world: Any, checkout: Any) -> None:
    world.tell("completed", checkout.id, payment_status="no_payment_required")


def pending(world: Any, checkout: Any) -> None:
    world.tell("completed", checkout.id, payment_status="unpaid")


def succeeded(world: Any, checkout: Any) -> None:
    world.tell("async_payment_succeeded", checkout.id)


def failed(world: Any, checkout: Any) -> None:
    world.tell("async_payment_failed", checkout.id, payment_status="unpaid")


def lapsed(world: Any, checkout: Any) -> None:
    world.tell("expired", checkout.id, payment_status="unpaid", status="expired")


def recovered(world: Any, checkout: Any) -> None:
    world.tell("completed", checkout.id, id="cs_test_2", recovered_from="cs_test_1")


def given_up(world: Any, checkout: Any) -> None:
    world.checkouts.give_up(checkout.id)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([], HELD),
        ([paid], USED),
        ([free], USED),
        ([pending], HELD),
        ([pending, succeeded], USED),
        ([pending, failed], RELEASED),
        ([lapsed], RELEASED),
        ([given_up], RELEASED),
        ([lapsed, paid], USED),
        ([given_up, paid], USED),
        ([lapsed, recovered], USED),
    ],
)
def test_use_is_what_the_checkout_became_in_any_order_and_number(
    world: Any, put: Any, facts: list[Any], status: str
) -> None:
    put(world, limit_total=1000)
    orders = sorted(set(itertools.permutations(facts * 2)), key=str)[:30]
    for number, order in enumerate(orders):
        world.stripe.sessions.clear()
        world.inventory.reservations.clear()
        with world.database.begin() as session:
            session.query(DiscountUse).delete()
            session.query(discounts.Checkout).delete()
        checkout = buy(world, f"key-{number}")
        for fact in order:
            if fact is given_up and world.row().status == "complete":
                continue
            fact(world, checkout)
        with world.database.read() as session:
            assert [use.status for use in session.query(DiscountUse)] == [status], order


def test_limit_in_total_counts_what_is_held_and_used(any_world: Any, put: Any) -> None:
    put(any_world, limit_total=1)
    first = buy(any_world)
    assert "Others who are paying right now" in refusal(any_world)
    lapsed(any_world, first)
    second = buy(any_world, "key-2")
    assert uses(any_world) == {USED: 0, HELD: 1}
    any_world.tell("completed", second.id, id="cs_test_2")
    assert uses(any_world) == {USED: 1, HELD: 0}
    assert "It has been used as often as it may be" in refusal(any_world)


def test_payment_after_expiry_counts_though_the_use_went_to_another(any_world: Any, put: Any) -> None:
    put(any_world, limit_total=1)
    first = buy(any_world)
    lapsed(any_world, first)
    second = buy(any_world, "key-2")
    any_world.tell("completed", second.id, id="cs_test_2")
    any_world.tell("completed", first.id, id="cs_test_9", recovered_from="cs_test_1")
    assert uses(any_world) == {USED: 2, HELD: 0}
    assert "as often as it may be" in refusal(any_world)


def test_limit_of_a_customer_knows_her_by_her_address(world: Any, put: Any) -> None:
    put(world, limit_per_email=1)
    first = buy(world, customer_email="zoe@example.com")
    assert "A checkout of yours that is still open has it" in refusal(world, customer_email="Zoe@Example.com")
    assert buy(world, "key-2", customer_email="ada@example.com").amount_discount == 500
    paid(world, first)
    assert "as often as one customer may" in refusal(world, customer_email="zoe@EXAMPLE.com")


def test_operator_may_raise_the_limit_and_sees_the_counts(world: Any, put: Any) -> None:
    put(world, limit_total=1)
    paid(world, buy(world))
    assert "as often as it may be" in refusal(world)
    put(world, limit_total=2)
    buy(world, "key-2")
    headers = {"Authorization": "Bearer operator-token-0123"}
    client = world.app().test_client()
    shown = client.get("/catalog/discounts/spring", headers=headers).json
    assert (shown["used"], shown["held"], shown["limit_total"], shown["percent_off"]) == (1, 1, 2, 10)
    assert client.get("/catalog/discounts", headers=headers).json == {"items": [shown], "next_cursor": None}
    assert client.put("/catalog/discounts/spring", json={"percent_off": 20}, headers=headers).json["used"] == 1
    assert client.get("/catalog/discounts/none", headers=headers).status_code == 404
    assert client.get("/catalog/discounts").status_code == 401


def test_repeat_of_the_request_holds_one_use(any_world: Any, put: Any) -> None:
    put(any_world, limit_total=1)
    assert buy(any_world).id == buy(any_world).id
    assert uses(any_world) == {USED: 0, HELD: 1}


@pytest.mark.parametrize("where", ["before", "after"])
def test_use_of_a_dead_request_is_given_back_by_the_sweep(world: Any, put: Any, crash: Any, where: str) -> None:
    put(world, limit_total=1)
    setattr(world.stripe, where, crash.once(CREATE))
    with pytest.raises(crash.error):
        buy(world)
    assert uses(world) == {USED: 0, HELD: 1}
    world.sweep.run(world.clock.advance(minutes=2))
    world.sweep.run(world.clock.advance(minutes=2))
    assert uses(world) == {USED: 0, HELD: 0}


@pytest.mark.parametrize(("outcome", "found"), [("complete", {USED: 1, HELD: 0}), ("expired", {USED: 0, HELD: 0})])
def test_use_follows_what_the_sweep_finds_at_stripe(world: Any, put: Any, outcome: str, found: Uses) -> None:
    put(world, limit_total=1)
    checkout = buy(world)
    world.stripe.sessions["cs_test_1"].update(status=outcome, payment_status="paid", url=None)
    world.sweep.run(checkout.expires_at + timedelta(minutes=5))
    assert uses(world) == found


def test_checkout_of_an_older_release_counts_when_it_is_paid(world: Any, put: Any) -> None:
    put(world)
    checkout = buy(world)
    with world.database.begin() as session:
        session.query(DiscountUse).delete()
    paid(world, checkout)
    assert uses(world) == {USED: 1, HELD: 0}


@pytest.mark.parametrize(("limits", "emails"), [({"limit_total": 3}, False), ({"limit_per_email": 3}, True)])
def test_last_uses_go_to_as_many_as_there_are(
    make_world: Any, postgres_database: Any, put: Any, limits: dict[str, int], emails: bool
) -> None:
    world = make_world(postgres_database)
    world.inventory.stock["TEE-M"] = 100
    put(world, **limits)
    start = Barrier(AT_ONCE)

    def customer(number: int) -> bool:
        start.wait(30)
        try:
            buy(world, f"key-{number}", **({"customer_email": f"Zoe@{'x' * (number % 2)}.test"} if emails else {}))
        except Invalid:
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        got = list(pool.map(customer, range(AT_ONCE)))
    assert sum(got) == (6 if emails else 3)
    assert uses(world) == {USED: 0, HELD: sum(got)}


def test_double_click_on_the_last_use_buys_once(make_world: Any, postgres_database: Any, put: Any) -> None:
    world = make_world(postgres_database)
    put(world, limit_total=1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        bought = list(pool.map(lambda _: buy(world).id, range(AT_ONCE)))
    assert len(set(bought)) == 1
    assert uses(world) == {USED: 0, HELD: 1}
