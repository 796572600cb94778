"""One Stripe account in test mode: its objects, clock, events and webhook endpoints."""

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import httpx

from . import versions
from .clock import Clock, Timers
from .faults import Faults
from .idempotency import IdempotencyKeys
from .store import Object, Store, new_id
from .webhooks import Endpoint, Webhooks


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a fake account. All times are in seconds."""

    shop_name: str = "Clozit"
    webhooks: Sequence[tuple[str, str]] = ()  # (URL, signing secret)
    webhook_backoff: Sequence[float] = (1, 2, 4, 8, 16, 32)  # the last delay repeats
    webhook_timeout: float = 10.0
    sepa_delay: float = 20.0  # until a debit, voucher or transfer is paid or fails: days at Stripe, short to watch
    followup_delay: float = 1.0  # until balance transactions, bank references and disputes appear
    redirect_wait: float = 10.0  # the longest time that Checkout waits for the webhook's answer before it redirects
    time_source: Callable[[], float] = field(default=time.time)
    webhook_pool: Executor | None = None  # for deliveries; threads if None
    webhook_transport: httpx.BaseTransport | None = None  # HTTP if None


@dataclass(frozen=True)
class Cause:
    """The API request that caused an event, as the event's field `request` names it."""

    request_id: str | None = None
    idempotency_key: str | None = None


AUTOMATIC = Cause()  # no API request: the time, the bank or the dashboard caused the event


class Account:
    """A fake account: its objects, and the timers, faults and webhooks that act on them."""

    def __init__(self, config: Config, base_url: str) -> None:
        self.config = config
        self.base_url = base_url  # for links to the hosted pages
        self.store = Store()
        self.event_version = versions.CURRENT  # the API version of the endpoints
        self.clock = Clock(config.time_source)
        self.timers = Timers(self.clock)
        self.faults = Faults()
        self.idempotency = IdempotencyKeys()
        self.next_refund_statuses: deque[str] = deque()  # first statuses of the next refunds, instead of the usual one
        self.stopping = threading.Event()  # ends the waits of the fault `api_timeout`
        self.webhooks = Webhooks(
            store=self.store,
            timers=self.timers,
            faults=self.faults,
            backoff=config.webhook_backoff,
            timeout=config.webhook_timeout,
            endpoints=[Endpoint(url, secret) for url, secret in config.webhooks],
            pool=config.webhook_pool,
            transport=config.webhook_transport,
        )

    def start(self) -> None:
        """Start the timers, which run the scheduled actions."""
        self.timers.start()

    def stop(self) -> None:
        """Stop timers and webhooks, and end requests that a fault delays."""
        self.stopping.set()
        self.timers.stop()
        self.webhooks.stop()

    def now(self) -> int:
        """Return the account's time as a Unix timestamp."""
        return self.clock.timestamp()

    def schedule(self, seconds: float, action: Callable[[], Any]) -> None:
        """Run the action, with the store's lock, when the clock has moved forward by this time."""

        def locked() -> None:
            with self.store.lock:
                action()

        self.timers.after(seconds, locked)

    def emit(
        self,
        type_: str,
        obj: Object,
        previous: Object | None = None,
        cause: Cause = AUTOMATIC,
        connected_account: str | None = None,
    ) -> Object | None:
        """Create the event, send it to every endpoint and return it. Return None if no event is created.

        No event is created if a fault prevents it, or if the endpoints' API version does not have such events. The id
        `connected_account` becomes the event's `account` (docs.stripe.com/connect/webhooks).
        """
        if not versions.has_event(self.event_version, type_, previous) or self.faults.take("not_created", type_):
            return None
        event = self._event(type_, obj, previous, cause)
        if connected_account:
            event["account"] = connected_account
        self.webhooks.send(self.store.add(event))
        if self.faults.take("second_event", type_):
            self.webhooks.send(self.store.add({**copy.deepcopy(event), "id": new_id("evt")}))
        return event

    def _event(self, type_: str, obj: Object, previous: Object | None, cause: Cause) -> Object:
        data: Object = {"object": versions.render(self.store, obj, self.event_version)}
        if previous is not None:
            data["previous_attributes"] = previous
        return {
            "id": new_id("evt"),
            "object": "event",
            "api_version": self.event_version,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": len(self.webhooks.endpoints),
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": type_,
        }
