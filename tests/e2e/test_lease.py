"""The common end of reservation, Stripe session and checkout, in any order of requests, payments and events.

Checkout, inventory and orders are joined by the real topology and use the demo's fake Stripe. No test waits for the
clock: the tests move it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from checkout import catalog
from checkout.creation import CheckoutRequest
from checkout.errors import AlreadyPaidError, AmountTooSmallError, OutOfStockError, StripeAwayError
from checkout.pricing import Item
from events.messaging.outbox import OutboxEvent
from events.testing.fixtures import MakeDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inventory import ledger, reservations
from orders.models.orders import Order

from tests.e2e.in_process import OPERATOR, Shop

PRICES = {"eur": [1, 999, 1999], "jpy": [50, 3200], "isk": [10000, 99500], "kwd": [10, 12340], "usd": [2199]}
RESERVATION_ENDED = timedelta(hours=2)  # longer than any session of these tests and its reservation's grace


@pytest.fixture
def shop(sqlite_database: MakeDatabase) -> Iterator[Shop]:
    made = Shop(sqlite_database)
    made.seed(TEE=3)
    yield made
    made.inventory.close()


SOLD = ("complete", "committed", "paid")


def test_cancel_after_the_payment_sells(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("pay", started, method="card")
    with pytest.raises(AlreadyPaidError):
        shop.checkouts.cancel(started.id)
    shop.deliver_events()
    assert shop.statuses(started) == SOLD
    assert (shop.stock(), shop.discount_uses()) == ((2, 0), ["used"])


def test_cancel_before_the_payment_releases_everything(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.checkouts.cancel(started.id)
    assert (
        shop.control.post("/_control/pay", json={"session_id": started.session_id, "method": "card"}).status_code == 400
    )
    shop.deliver_events()
    assert shop.statuses(started) == ("canceled", "released", "canceled")
    assert (shop.stock(), shop.discount_uses()) == ((3, 0), ["released"])


@pytest.mark.parametrize(
    ("path", "headers", "who"),
    [
        ("/checkout/sessions/{}/cancel", {}, "The customer"),
        ("/checkouts/{}/cancel", OPERATOR, "An operator"),
    ],
)
def test_timeline_shows_who_canceled_the_checkout(shop: Shop, path: str, headers: Any, who: str) -> None:
    started = shop.start()
    assert shop.web.post(path.format(started.id), headers=headers).status_code == 200
    shop.deliver_events()
    assert shop.timeline() == ["A checkout of 19.99 EUR was started.", f"{who} canceled the checkout."]


def test_timeline_shows_an_abandoned_checkout_as_such(shop: Shop) -> None:
    shop.stripe_http.lost_answer_of = "/v1/checkout/sessions"
    with pytest.raises(StripeAwayError):
        shop.start()
    shop.advance(timedelta(minutes=39))
    shop.deliver_events()
    abandoned = "The checkout ended before its payment page was open. The customer never got the link."
    assert shop.timeline() == ["A checkout of 19.99 EUR was started.", abandoned]


def test_payment_after_the_reservation_ended_takes_pieces_again(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("pay", started, method="card")
    reservations.expire_due(shop.databases["inventory"], shop.now() + RESERVATION_ENDED)
    assert shop.stock() == (3, 0)
    shop.deliver_events()
    assert shop.statuses(started) == SOLD
    assert (shop.stock(), shop.discount_uses()) == ((2, 0), ["used"])


def test_payment_for_pieces_that_are_sold_is_kept_and_reviewed(shop: Shop) -> None:
    late = shop.start("late", 3)
    shop.at_stripe("pay", late, method="card")
    reservations.expire_due(shop.databases["inventory"], shop.now() + RESERVATION_ENDED)
    other = shop.start("other", 2)
    shop.at_stripe("pay", other, method="card")
    shop.deliver_events()
    first, second = shop.statuses(late), shop.statuses(other)
    assert {first[:2], second[:2]} == {("complete", "committed")}
    assert sorted([first[2], second[2]]) == ["paid", "paid!"]
    assert shop.stock() == (0, 0)


@pytest.mark.parametrize("is_sold", [False, True])
def test_late_webhook_confirms_only_what_inventory_took(shop: Shop, *, is_sold: bool) -> None:
    """The payment's webhook comes after the reservation's end, when another customer may have bought the pieces."""
    late = shop.start("late", 3)
    shop.at_stripe("pay", late, method="card")
    shop.account.timers.advance(RESERVATION_ENDED.total_seconds())
    reservations.expire_due(shop.databases["inventory"], shop.now())
    if is_sold:
        shop.start("other", 2)
    shop.deliver_events()
    with shop.databases["orders"].read() as session:
        order = session.query(Order).filter_by(checkout_id=late.id).one()
        published = [row.routing_key for row in session.query(OutboxEvent).filter_by(correlation_id=late.id)]
    assert (order.status, order.needs_review, "orders.order.paid" in published) == ("paid", is_sold, not is_sold)


def test_sweep_recovers_the_lost_webhook_of_a_payment(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("pay", started, method="card")
    shop.deliver_events(losing="checkout.session.completed")
    shop.advance(timedelta(minutes=39))
    assert shop.statuses(started) == SOLD
    assert (shop.stock(), shop.discount_uses()) == ((2, 0), ["used"])


def test_sweep_recovers_the_lost_webhook_of_an_expiry(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("expire", started)
    shop.deliver_events(losing="checkout.session.expired")
    shop.advance(timedelta(minutes=39))
    assert shop.statuses(started) == ("expired", "released", "expired")
    assert (shop.stock(), shop.discount_uses()) == ((3, 0), ["released"])


@pytest.mark.parametrize(
    ("method", "end", "stock", "use"),
    [
        ("sepa_success", SOLD, (2, 0), "used"),
        ("sepa_fail", ("complete", "released", "payment_failed"), (3, 0), "released"),
    ],
)
@pytest.mark.parametrize("lost", [False, True], ids=["webhook arrives", "webhook lost, sweep recovers it"])
def test_delayed_payment_outlives_the_session(
    shop: Shop, method: str, end: tuple[str, str, str], stock: tuple[int, int], use: str, lost: bool
) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("pay", started, method=method)
    shop.deliver_events()
    shop.advance(RESERVATION_ENDED)
    shop.advance(timedelta(days=5))
    assert shop.statuses(started) == ("complete", "held", "payment_pending")
    assert (shop.stock(), shop.discount_uses()) == ((3, 1), ["held"])
    shop.at_stripe("settle", started)
    ending = "succeeded" if method == "sepa_success" else "failed"
    shop.deliver_events(losing=f"checkout.session.async_payment_{ending}" if lost else "")
    shop.advance(timedelta(days=2))
    shop.advance(timedelta(days=2))
    assert shop.statuses(started) == end
    assert (shop.stock(), shop.discount_uses()) == (stock, [use])


def test_operators_release_outlives_the_sweeps(shop: Shop) -> None:
    started = shop.start()
    shop.at_stripe("pay", started, method="sepa_success")
    shop.deliver_events()
    shop.advance(timedelta(days=2))
    assert shop.statuses(started) == ("complete", "held", "payment_pending")
    release = {"reason": "never paid", "override": True}
    answer = shop.inventory_api.post(f"/reservations/{started.id}/release", json=release, headers=OPERATOR)
    assert answer.get_json()["operator_released_at"]
    for _ in range(3):
        shop.advance(timedelta(days=1))
    shop.deliver_events()
    assert shop.statuses(started) == ("complete", "released", "payment_pending")
    assert shop.stock() == (3, 0)
    shop.start("sells the last", 3)
    shop.at_stripe("settle", started)
    shop.deliver_events()
    assert shop.statuses(started) == ("complete", "committed", "paid!")


def test_customer_with_two_sessions_pays_one_or_both(shop: Shop) -> None:
    first, second = shop.start("first", 2), shop.start("second", 1)
    with pytest.raises(OutOfStockError):
        shop.start("one too many")
    shop.at_stripe("pay", second, method="card")
    shop.at_stripe("expire", first)
    shop.deliver_events()
    assert (shop.statuses(first), shop.statuses(second)) == (("expired", "released", "expired"), SOLD)
    assert shop.stock() == (2, 0)
    third = shop.start("third", 2)
    shop.at_stripe("pay", third, method="card")
    shop.deliver_events()
    assert shop.statuses(third) == SOLD
    assert shop.stock() == (0, 0)


def test_recovered_cart_is_sold_once_and_counts_once(shop: Shop) -> None:
    started = shop.start(discount_code="ONCE")
    shop.at_stripe("expire", started)
    shop.deliver_events()
    assert (shop.stock(), shop.discount_uses()) == ((3, 0), ["released"])
    shop.control.get(f"/r/{started.session_id}")
    recovered = shop.account.store.all("checkout.session")[0]
    assert (recovered["recovered_from"], recovered["amount_total"]) == (started.session_id, started.amount_total)
    pay = {"session_id": recovered["id"], "method": "card"}
    assert shop.control.post("/_control/pay", json=pay).status_code == 200
    shop.deliver_events()
    assert shop.statuses(started) == SOLD
    assert (shop.stock(), shop.discount_uses()) == ((2, 0), ["used"])


@st.composite
def carts(draw: st.DrawFn) -> dict[str, Any]:
    currency = draw(st.sampled_from(sorted(PRICES)))
    percent = draw(st.integers(1, 100))
    step = {"isk": 100, "kwd": 10}.get(currency, 1)
    amount = draw(st.integers(1, 3000)) * step
    return {
        "currency": currency,
        "items": draw(
            st.lists(st.tuples(st.sampled_from(PRICES[currency]), st.integers(1, 20)), min_size=1, max_size=5)
        ),
        "discount": draw(st.sampled_from([None, {"percent_off": percent}, {"amounts_off": {currency: amount}}])),
        "shipping": draw(st.sampled_from([0, 70])) * step,
    }


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(carts())
def test_stripe_charges_what_checkout_has_shown(shop: Shop, cart: dict[str, Any]) -> None:
    currency, count = cart["currency"], len(cart["items"])
    products = [
        {"sku": f"P{at}", "group": "G", "name": "P", "prices": {currency: price}}
        for at, (price, _) in enumerate(cart["items"])
    ]
    standard = {"id": "standard", "name": "S", "amounts": {currency: cart["shipping"]}, "min_days": 1, "max_days": 2}
    shipping, discounts = [standard], [{"code": "OFF", **cart["discount"]}] if cart["discount"] else []
    document = {"products": products, "shipping_options": shipping, "discounts": discounts}
    catalog.seed(shop.databases["checkout"], document)
    ledger.seed(shop.databases["inventory"], {"products": [{"sku": f"P{at}", "stock": 10_000} for at in range(count)]})
    items = [Item(f"P{at}", quantity) for at, (_, quantity) in enumerate(cart["items"])]
    request = CheckoutRequest(items=items, currency=currency, discount_code="OFF" if discounts else None)
    try:
        started = shop.checkouts.start(request, None)
    except AmountTooSmallError:
        return
    session = shop.account.store.get("checkout.session", str(started.session_id))
    charged = session["total_details"]
    assert (session["amount_subtotal"], session["amount_total"]) == (started.amount_subtotal, started.amount_total)
    assert (charged["amount_discount"], charged["amount_shipping"]) == (
        started.amount_discount,
        started.amount_shipping,
    )
    assert sum(line["amount_total"] for line in started.lines) == started.amount_total - started.amount_shipping
