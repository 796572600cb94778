"""Customers who buy through checkout's API and pay on the fake Stripe's page, while either may fail.

Each customer uses one Idempotency-Key until the shop has answered, as a browser's frontend does.
"""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from events.testing.waiting import wait_until

from tests.faults.rig import Rig
from tests.faults.stripe_ledger import Purchase, StripeLedger, from_fake_stripe

SKU = "TEE-ORG-WHT-S"
CHECKOUT_TIMEOUT_S = 90.0  # a customer repeats the request for this long
RETRY_DELAY_S = 0.3
TEMPORARY_STATUSES = (409, 500, 502, 503, 504)  # a frontend repeats the request with the same key
CUSTOMERS_AT_ONCE = 4


class Customers:
    """`count` purchases, which start when the object is created, `CUSTOMERS_AT_ONCE` at a time.

    Each customer first waits 0 to 3 times `pause_s` seconds, so that the purchases do not start together.
    """

    checkout_timeout_s = CHECKOUT_TIMEOUT_S

    def __init__(self, rig: Rig, count: int, pause_s: float) -> None:
        self._system, self._stripe, self._pause_s = rig.system, rig.stripe, pause_s
        self._known_event_ids = [event["id"] for event in rig.stripe.ledger["events"]]
        self.repeated_requests = 0
        self.began_at = time.time()
        self._pool = ThreadPoolExecutor(CUSTOMERS_AT_ONCE, thread_name_prefix="customer")
        self._purchases = [self._pool.submit(self._buy, number) for number in range(count)]

    def wait_until_delivered(self, within: float) -> StripeLedger:
        """Wait until all is paid and every event is delivered; return the ledger of these purchases.

        Raises a customer's error, and `TimeoutError` when a step takes longer than `within` seconds.
        """
        paid = [purchase.result(within) for purchase in self._purchases]
        self._pool.shutdown()
        stripe = self._stripe
        wait_until(
            lambda: all(charge["balance_transaction"] for charge in stripe.ledger["charges"]),
            within,
            "the charges' last events",
        )
        wait_until(lambda: stripe.wait_delivered(1), within, "the delivery of every event")
        return from_fake_stripe(stripe.ledger, paid, self._known_event_ids)

    def _buy(self, number: int) -> Purchase:
        threading.Event().wait(self._pause_s * (number % CUSTOMERS_AT_ONCE))
        email = f"{uuid.uuid4().hex}@example.com"
        checkout = self._start_checkout(email, str(uuid.uuid4()))
        self._stripe.pay(checkout["session_id"], "card", email)
        session = self._stripe.session(checkout["session_id"])
        return Purchase(
            checkout_id=checkout["checkout_id"],
            session_id=checkout["session_id"],
            payment_intent=session["payment_intent"],
            currency=session["currency"],
            amount=session["amount_total"],
            lines={SKU: 1},
            recipient=email,
        )

    def _start_checkout(self, email: str, key: str) -> dict[str, Any]:
        body = {
            "items": [{"sku": SKU, "quantity": 1}],
            "currency": "eur",
            "customer_email": email,
            "shipping_option": "standard",
        }
        deadline = time.monotonic() + self.checkout_timeout_s
        while True:
            try:
                answer = self._system.post("checkout", "/checkout/sessions", body, **{"Idempotency-Key": key})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code not in TEMPORARY_STATUSES:
                return answer.raise_for_status().json()  # type: ignore[no-any-return]
            self.repeated_requests += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"no checkout within {self.checkout_timeout_s:g} s: {answer and answer.text}")
            threading.Event().wait(RETRY_DELAY_S)
