"""Customers who buy through the services' HTTP and pay on the fake Stripe's page, by the clock (open loop).

Each purchase has an ending. The number of Stripe's events of that ending sets the time until the next customer, so
that events come at the planned rate. A slow system gets no fewer customers.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import httpx

from bench.soak.background import in_background
from bench.soak.system import SoakSystem
from demo.fake_stripe.errors import StripeError

CUSTOMERS_AT_ONCE = 24  # more than a second of customers at 50 events/s
START_TIMEOUT_S = 10.0  # a customer who cannot start for so long leaves, so that a busy machine gets no backlog of them
PAYING_S = 10.0  # on Stripe's page; events that come before the order's own are handled twice
REFUNDED_AFTER_S = 5.0  # the dashboard's refund, after the payment
ABANDONED_AFTER_S = 60.0  # Stripe's shortest session has half an hour
FORGET_AFTER_S = 180.0  # every purchase has ended, also by bank debit (20 s)
FORGET_INTERVAL_S = 30.0
BROWSING_INTERVAL = 4  # every so many customers read the catalog; the others come from a search engine
SEED = 20261126
LOCALES = ("en", "de", "fr")


class Ending(StrEnum):
    """The ways in which purchases end."""

    CARD = "card"
    DECLINED = "declined card, then another"
    DELAYED = "bank debit"
    REFUNDED = "card, then refunded"
    CANCELED = "canceled by the customer"
    ABANDONED = "abandoned"


SHARES = {  # of all purchases
    Ending.CARD: 0.7,
    Ending.DECLINED: 0.08,
    Ending.DELAYED: 0.08,
    Ending.REFUNDED: 0.06,
    Ending.CANCELED: 0.04,
    Ending.ABANDONED: 0.04,
}
STRIPE_EVENTS = {  # that the fake Stripe posts for such a purchase
    Ending.CARD: 5,
    Ending.DECLINED: 7,
    Ending.DELAYED: 8,
    Ending.REFUNDED: 9,
    Ending.CANCELED: 1,
    Ending.ABANDONED: 1,
}


@dataclass(frozen=True)
class Customer:
    """One customer, who is due to come at `due` on the monotonic clock."""

    number: int
    ending: Ending
    cart: Mapping[str, int]
    due: float

    @property
    def email(self) -> str:
        """The customer's e-mail address."""
        return f"customer-{self.number}@example.com"

    def order(self) -> Mapping[str, object]:
        """Return the body of the request for a checkout."""
        return {
            "items": [{"sku": sku, "quantity": quantity} for sku, quantity in self.cart.items()],
            "currency": "eur",
            "customer_email": self.email,
            "shipping_option": "standard",
            "locale": LOCALES[self.number % len(LOCALES)],
        }

    def headers(self) -> Mapping[str, str]:
        """Return the request's headers. Each customer has another address, so none reaches a limit per address."""
        address = f"93.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"
        return {"X-Forwarded-For": address, "Idempotency-Key": f"soak-{self.number:032d}"}


class Customers:
    """A stream of customers. `purchases` maps the checkout ids of the started purchases to their endings."""

    def __init__(self, system: SoakSystem, rate: float, paying_s: float = PAYING_S) -> None:
        self.purchases: dict[str, Ending] = {}
        self.latest_start_s = 0.0  # how late the customer who started latest was
        self.left = 0  # customers who could not start in time
        self.refused: Counter[str] = Counter()  # answers that no customer should get
        self._system, self._rate, self._paying_s = system, rate, paying_s
        self._unfinished = 0  # customers who have something left to do
        self._ended = threading.Condition()
        self._random = random.Random(SEED)  # noqa: S311 - no secret
        limits = httpx.Limits(max_connections=CUSTOMERS_AT_ONCE, keepalive_expiry=30)
        self._http = httpx.Client(trust_env=False, timeout=30, limits=limits)

    @contextmanager
    def buying(self) -> Iterator[None]:
        """Let customers come until the block ends. Then wait until the last of them has paid."""
        with in_background(self._come, self._forget):
            yield

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _come(self, stop: threading.Event) -> None:
        due = time.monotonic()
        with ThreadPoolExecutor(CUSTOMERS_AT_ONCE, thread_name_prefix="customer") as pool:
            number = 0
            while not stop.wait(max(0.0, due - time.monotonic())):
                number += 1
                [ending] = self._random.choices(list(SHARES), list(SHARES.values()))
                customer = Customer(number, ending, self._cart(), due)
                with self._ended:
                    self._unfinished += 1
                pool.submit(self._step, partial(self._start, customer, pool))
                due += STRIPE_EVENTS[ending] / self._rate
            with self._ended:
                self._ended.wait_for(lambda: not self._unfinished)

    def _forget(self, stop: threading.Event) -> None:
        while not stop.wait(FORGET_INTERVAL_S):
            self._system.stripe.forget(FORGET_AFTER_S)

    def _cart(self) -> Mapping[str, int]:
        skus = self._random.sample(sorted(self._system.products), self._random.choice((1, 1, 1, 2, 3)))
        return {sku: self._random.choice((1, 1, 1, 2)) for sku in skus}

    def _step(self, act: Callable[[], bool]) -> None:
        """Let a customer act. `act` returns True if the customer has something left to do."""
        goes_on = False
        try:
            goes_on = act()
        except Exception as error:  # noqa: BLE001 - the report counts every kind
            with self._ended:
                self.refused[f"{type(error).__name__}: {error}"] += 1
        if not goes_on:
            with self._ended:
                self._unfinished -= 1
                self._ended.notify_all()

    def _start(self, customer: "Customer", pool: ThreadPoolExecutor) -> bool:
        """Start a checkout. The customer pays later, as on Stripe's page."""
        late_s = time.monotonic() - customer.due
        with self._ended:
            self.left += late_s > START_TIMEOUT_S
            self.latest_start_s = max(self.latest_start_s, min(late_s, START_TIMEOUT_S))
        if late_s > START_TIMEOUT_S:
            return False
        if customer.number % BROWSING_INTERVAL == 0:
            self._get("checkout", "/products?limit=20")
        answer = self._http.post(
            f"{self._system.urls['checkout']}/checkout/sessions", json=customer.order(), headers=customer.headers()
        )
        checkout = answer.raise_for_status().json()
        checkout_id, session_id = checkout["checkout_id"], checkout["session_id"]
        with self._ended:
            self.purchases[checkout_id] = customer.ending
        if customer.ending == Ending.CANCELED:
            url = f"{self._system.urls['checkout']}/checkout/sessions/{checkout_id}/cancel"
            self._http.post(url, json={}).raise_for_status()
            return False
        if customer.ending == Ending.ABANDONED:
            stripe = self._system.stripe
            stripe.account.schedule(ABANDONED_AFTER_S, partial(stripe.expire, session_id))
            return False
        pay = partial(pool.submit, self._step, partial(self._pay, customer, session_id))
        self._system.stripe.account.timers.after(self._paying_s, pay)
        return True

    def _pay(self, customer: "Customer", session_id: str) -> bool:
        stripe = self._system.stripe
        if customer.ending == Ending.DECLINED:
            self._pay_with_declined_card(session_id, customer.email)
        stripe.pay(session_id, "sepa_success" if customer.ending == Ending.DELAYED else "card", customer.email)
        if customer.ending == Ending.REFUNDED:
            stripe.account.schedule(REFUNDED_AFTER_S, partial(stripe.refund, session_id))
        self._get("orders", f"/orders/by-session/{session_id}")
        return False

    def _pay_with_declined_card(self, session_id: str, email: str) -> None:
        try:
            self._system.stripe.pay(session_id, "decline", email)
        except StripeError:
            return
        raise ValueError("The declined card was accepted.")

    def _get(self, service: str, path: str) -> None:
        """Read a page. An order may not be there yet: its event can still be in a queue."""
        answer = self._http.get(self._system.urls[service] + path)
        if answer.status_code != 404:
            answer.raise_for_status()
