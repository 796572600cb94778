"""One Stripe account in a sandbox: what it remembers, its clock, its events and its webhook endpoints."""

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clock import Clock, Timers
from .faults import Faults
from .idempotency import IdempotencyKeys
from .state import Object, Store, new_id
from .webhooks import Endpoint, Webhooks

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, kw_only=True)
class Config:
    shop_name: str = "Clozit"
    webhooks: Sequence[tuple[str, str]] = ()  # (URL, signing secret)
    webhook_backoff: Sequence[float] = (1, 2, 4, 8, 16, 32)  # seconds; the last one repeats
    webhook_timeout: float = 10.0
    sepa_delay: float = 20.0  # days at Stripe; short enough to watch in a demo
    followup_delay: float = 1.0  # until balance transactions, bank references and disputes appear
    redirect_wait: float = 10.0  # how long Checkout holds the customer for the webhook's answer
    time_source: Callable[[], float] = field(default=time.time)


@dataclass(frozen=True)
class Cause:
    """The API request that an event names, if one caused it."""

    request_id: str | None = None
    idempotency_key: str | None = None


AUTOMATIC = Cause()


class Account:
    def __init__(self, config: Config, base_url: str) -> None:
        self.config = config
        self.base_url = base_url  # where customers' browsers reach the hosted pages
        self.store = Store()
        self.clock = Clock(config.time_source)
        self.timers = Timers(self.clock)
        self.faults = Faults()
        self.idempotency = IdempotencyKeys()
        self.refund_starts: deque[str] = deque()  # statuses that the next refunds begin with, if not the usual one
        self.stopping = threading.Event()  # ends the waits of the fault api_timeout
        self.webhooks = Webhooks(
            store=self.store,
            timers=self.timers,
            faults=self.faults,
            backoff=config.webhook_backoff,
            timeout=config.webhook_timeout,
            endpoints=[Endpoint(url, secret) for url, secret in config.webhooks],
        )

    def start(self) -> None:
        self.timers.start()

    def stop(self) -> None:
        self.stopping.set()
        self.timers.stop()
        self.webhooks.stop()

    def now(self) -> int:
        return self.clock.timestamp()

    def later(self, seconds: float, action: Callable[[], Any]) -> None:
        """Do this after a while, holding the store's lock."""

        def locked() -> None:
            with self.store.lock:
                action()

        self.timers.after(seconds, locked)

    def emit(self, type_: str, obj: Object, previous: Object | None = None, cause: Cause = AUTOMATIC) -> Object | None:
        """Make the event and send it; None where a fault says that it is never made."""
        if self.faults.take("never_made", type_):
            return None
        event = self._event(type_, obj, previous, cause)
        self.webhooks.send(self.store.add(event))
        if self.faults.take("twin", type_):
            self.webhooks.send(self.store.add({**copy.deepcopy(event), "id": new_id("evt")}))
        return event

    def _event(self, type_: str, obj: Object, previous: Object | None, cause: Cause) -> Object:
        data: Object = {"object": copy.deepcopy(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        return {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": len(self.webhooks.endpoints),
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": type_,
        }
