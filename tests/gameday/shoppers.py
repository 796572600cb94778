"""Customers who buy all the time and accept every failure: only the alerts matter here."""

import threading
import uuid
from types import TracebackType
from typing import Self

import httpx

from tests.faults.rig import Rig

SKU = "TEE-ORG-WHT-S"
SHOPPERS = 2  # so that one who waits for an answer does not stop the other
PAUSE_S = 4.0  # of each shopper between two purchases
TIMEOUT_S = 8.0


class Shoppers:
    """A few customers on threads, from the block's begin to its end."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._is_over = threading.Event()
        self.bought = self.failed = 0
        self._threads = [threading.Thread(target=self._shop, args=[n], daemon=True) for n in range(SHOPPERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    def _shop(self, number: int) -> None:
        self._is_over.wait(PAUSE_S * number / SHOPPERS)
        while not self._is_over.wait(PAUSE_S):
            try:
                self._buy()
            except Exception:  # noqa: BLE001 - during a fault anything can fail
                self.failed += 1
            else:
                self.bought += 1

    def _buy(self) -> None:
        email = f"{uuid.uuid4().hex}@example.com"
        body = {
            "items": [{"sku": SKU, "quantity": 1}],
            "currency": "eur",
            "customer_email": email,
            "shipping_option": "standard",
        }
        url = f"{self._rig.system.urls['checkout']}/checkout/sessions"
        answer = httpx.post(url, json=body, headers={"Idempotency-Key": str(uuid.uuid4())}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        self._rig.stripe.pay(answer.json()["session_id"], "card", email)
