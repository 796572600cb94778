"""The common end of reservation, Stripe session and checkout, in any order of requests, payments and events.

Checkout, inventory and orders are joined by the real topology and use the demo's fake Stripe. No test waits for the
clock: the tests move it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import checkout.app
import checkout.chains
import httpx
import inventory.app
import inventory.chains
import inventory.config
import orders.app
import orders.chains
import orders.config
import pytest
import stripe
from checkout import catalog
from checkout.checkouts import Checkouts
from checkout.config import Config
from checkout.creation import CheckoutRequest
from checkout.errors import AlreadyPaidError, AmountTooSmallError, OutOfStockError, StripeAwayError
from checkout.handlers import handlers as checkout_handlers
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout, DiscountUse
from checkout.pricing import Item
from checkout.stripe_sessions import StripeSessions
from checkout.sweeper import Sweeper
from events.testing.bus import Bus
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inventory import ledger, reservations
from inventory.handlers import handlers as inventory_handlers
from inventory.models import Reservation, StockItem
from orders.handlers import handlers as orders_handlers
from orders.models.orders import Order

from demo.fake_stripe.account import Account
from demo.fake_stripe.account import Config as StripeConfig
from demo.fake_stripe.app import create_app as create_stripe

SERVICE_TOKEN = "service-token-of-tests"
OPERATOR = {"Authorization": "Bearer operator-token-0123"}
PRICES = {"eur": [1, 999, 1999], "jpy": [50, 3200], "isk": [10000, 99500], "kwd": [10, 12340], "usd": [2199]}
RESERVATION_ENDED = timedelta(hours=2)  # longer than any session of these tests and its reservation's grace


class InProcessClient(stripe.HTTPClient):
    """The SDK's HTTP client for a fake Stripe that is a WSGI application in this process."""

    name = "in-process"

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._http = app.test_client()
        self.lost_answer_of = ""  # the path whose next answer gets lost on its way to us

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        path = url.removeprefix("https://stripe.test")
        answer = self._http.open(path, method=method.upper(), headers=headers, data=post_data)
        if path == self.lost_answer_of:
            self.lost_answer_of = ""
            raise stripe.APIConnectionError("the answer got lost")
        return answer.get_data(as_text=True), answer.status_code, dict(answer.headers)


class Shop:
    """Checkout, inventory and orders with a fake Stripe, in one thread and with one clock."""

    def __init__(self, make: MakeDatabase) -> None:
        self.databases = {
            "checkout": make(checkout.chains.CHAINS),
            "inventory": make(inventory.chains.CHAINS),
            "orders": make(orders.chains.CHAINS),
        }
        now = datetime.now(UTC).timestamp()
        self.account = Account(StripeConfig(time_source=lambda: now, followup_delay=0), "https://stripe.test")
        app = create_stripe(self.account)
        self.network = InProcessClient(app)
        self.stripe = StripeSessions("sk_test_1", "https://stripe.test", http_client=self.network, retries=0)
        self.control = app.test_client()
        self.inventory = self._inventory()
        config = Config(
            service="checkout", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": "operator-token-0123"}, service_token=SERVICE_TOKEN, stripe_api_key="sk_test_1", inventory_url="http://inventory.test",
            shop_url="https://shop.test", shipping_countries=("DE",),
        )  # fmt: skip
        self.checkouts = Checkouts(config, self.databases["checkout"], self.stripe, self.inventory, self.now)
        self.web = checkout.app.create_app(
            config, database=self.databases["checkout"], stripe=self.stripe, inventory=self.inventory
        ).test_client()
        self.sweeper = Sweeper(self.databases["checkout"], self.stripe, self.inventory)
        handlers = {"checkout": checkout_handlers, "inventory": inventory_handlers, "orders": orders_handlers}
        self.bus = Bus({name: (self.databases[name], handlers[name]) for name in self.databases})
        self.delivered: set[str] = set()

    def _inventory(self) -> InventoryClient:
        config = inventory.config.Config(
            service="inventory", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": "operator-token-0123"}, service_token=SERVICE_TOKEN,
        )  # fmt: skip
        app = inventory.app.create_app(config, database=self.databases["inventory"])
        return InventoryClient("http://inventory.test", SERVICE_TOKEN, httpx.WSGITransport(app))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.account.now(), UTC)

    def seed(self, **pieces: int) -> None:
        products = [{"sku": sku, "group": "G", "name": sku, "prices": {"eur": 1999}} for sku in pieces]
        discount = {"code": "ONCE", "percent_off": 10, "limit_total": 1}
        catalog.seed(self.databases["checkout"], {"products": products, "discounts": [discount]})
        stock = [{"sku": sku, "stock": count} for sku, count in pieces.items()]
        ledger.seed(self.databases["inventory"], {"products": stock})

    def start(self, key: str = "key", pieces: int = 1, **request: Any) -> Checkout:
        return self.checkouts.start(CheckoutRequest(items=[Item("TEE", pieces)], **request), key)

    def at_stripe(self, action: str, started: Checkout, **values: Any) -> None:
        """Do what the customer or the bank does at Stripe, such as `pay` or `expire`."""
        answer = self.control.post(f"/_control/{action}", json={"session_id": started.session_id, **values})
        assert answer.status_code == 200, answer.text

    def deliver_events(self, *, losing: str = "") -> None:
        """Deliver all new events of Stripe twice, the newest first, but none of the type `losing`."""
        new = [event for event in self.account.store.all("event") if event["id"] not in self.delivered]
        self.delivered |= {event["id"] for event in new}
        for event in [event for event in new if event["type"] != losing] * 2:
            self.bus.publish(as_bus_event(event))
        self.bus.run_until_idle()

    def advance(self, by: timedelta) -> None:
        """Move the clock and run the sweeps of both services. The test itself expires Stripe's sessions."""
        self.account.timers.advance(by.total_seconds())
        self.sweeper.run(self.now())
        reservations.expire_due(self.databases["inventory"], self.now())
        self.bus.run_until_idle()

    def statuses(self, started: Checkout) -> tuple[str, str, str]:
        """Return the statuses of checkout, reservation and order, with a "!" if the order needs a review."""
        with self.databases["checkout"].read() as session:
            checkout_status = session.get_one(Checkout, started.id).status
        with self.databases["inventory"].read() as session:
            reservation_status = session.get_one(Reservation, started.id).status
        with self.databases["orders"].read() as session:
            order = session.query(Order).filter_by(checkout_id=started.id).one()
            return checkout_status, reservation_status, f"{order.status}{'!' if order.needs_review else ''}"

    def timeline(self) -> list[str]:
        """Return the texts of the only order's timeline as operators read them, the oldest first."""
        config = orders.config.Config(
            service="orders", port=0, broker_url="memory://", database_url="",
            operator_tokens={"zoe": "operator-token-0123"}, stripe_api_key="sk_test_1",
        )  # fmt: skip
        web: Any = orders.app.create_app(config, database=self.databases["orders"]).test_client()
        (order,) = web.get("/orders", headers=OPERATOR).json["items"]
        return [entry["text"] for entry in web.get(f"/orders/{order['id']}", headers=OPERATOR).json["timeline"]]

    def stock(self) -> tuple[int, int]:
        with self.databases["inventory"].read() as session:
            stock = session.get_one(StockItem, "TEE")
            return stock.on_hand, stock.reserved

    def discount_uses(self) -> list[str]:
        with self.databases["checkout"].read() as session:
            return [use.status for use in session.query(DiscountUse).order_by(DiscountUse.checkout_id)]


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
    shop.network.lost_answer_of = "/v1/checkout/sessions"
    with pytest.raises(StripeAwayError):
        shop.start()
    shop.advance(timedelta(minutes=39))
    shop.deliver_events()
    interrupted = "The checkout was interrupted. The customer never got the link to the payment page."
    assert shop.timeline() == ["A checkout of 19.99 EUR was started.", interrupted]


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
