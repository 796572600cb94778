"""Customers who buy at checkout's own door and pay on the fake Stripe's page, while either may fail them.

Each keeps to one Idempotency-Key until the shop has answered, as a browser's frontend does.
"""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from events.testing.servers import wait_until

from demo.system import System
from tests.faults.ledger import Ledger, Purchase, of_fake_stripe

SKU = "TEE-ORG-WHT-S"
PATIENCE = 90.0  # seconds that a customer goes on trying
RETRY_AFTER = 0.3  # seconds
PASSING = (409, 500, 502, 503, 504)  # answers that a frontend tries again under the same key
PAYING_AT_ONCE = 4


class Customers:
    """`count` purchases, from `start`; the ledger is there once they are all paid and told of."""

    def __init__(self, system: System, count: int, pause: float) -> None:
        self._system, self._count, self._pause = system, count, pause
        self._known = [event["id"] for event in system.stripe.ledger["events"]]
        self.refusals = 0
        self.began = time.time()
        self._pool = ThreadPoolExecutor(PAYING_AT_ONCE, thread_name_prefix="customer")
        self._purchases = [self._pool.submit(self._buy, number) for number in range(count)]

    def ledger(self, within: float) -> Ledger:
        """Wait until all is paid and delivered. Raises what a customer met."""
        paid = [purchase.result(within) for purchase in self._purchases]
        self._pool.shutdown()
        stripe = self._system.stripe
        wait_until(
            lambda: all(charge["balance_transaction"] for charge in stripe.ledger["charges"]), within, "what follows"
        )
        wait_until(lambda: stripe.wait_delivered(1), within, "the delivery of every event")
        return of_fake_stripe(stripe.ledger, paid, self._known)

    def _buy(self, number: int) -> Purchase:
        threading.Event().wait(self._pause * (number % PAYING_AT_ONCE))
        email = f"{uuid.uuid4().hex}@example.com"
        bought = self._start(email, str(uuid.uuid4()))
        self._system.stripe.pay(bought["session_id"], "card", email)
        session = self._system.stripe.session(bought["session_id"])
        return Purchase(
            checkout_id=bought["checkout_id"],
            session_id=bought["session_id"],
            payment_intent=session["payment_intent"],
            currency=session["currency"],
            amount=session["amount_total"],
            lines={SKU: 1},
            recipient=email,
        )

    def _start(self, email: str, key: str) -> dict[str, Any]:
        body = {
            "items": [{"sku": SKU, "quantity": 1}],
            "currency": "eur",
            "customer_email": email,
            "shipping_option": "standard",
        }
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._system.post("checkout", "/checkout/sessions", body, **{"Idempotency-Key": key})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in PASSING:
                return answer.raise_for_status().json()  # type: ignore[no-any-return]
            self.refusals += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"no checkout within {PATIENCE:g} s: {answer and answer.text}")
            threading.Event().wait(RETRY_AFTER)
