"""Webhooks: signed deliveries of events to the endpoints, retried until each endpoint answers 2xx."""

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import orjson

from .clock import Timers
from .faults import Fault, Faults
from .store import Object, Store

THREADS = 4  # deliveries in parallel, so that events can arrive out of order, as at Stripe


@dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint: its URL and its signing secret."""

    url: str
    secret: str


@dataclass
class Delivery:
    """The delivery of one event to one endpoint."""

    event: Object
    endpoint: Endpoint
    body: bytes
    attempts: list[Object] = field(default_factory=list)
    delivered: bool = False
    dropped: bool = False

    def summary(self) -> Object:
        """Return the delivery for the ledger, with all attempts."""
        return {
            "url": self.endpoint.url,
            "delivered": self.delivered,
            "dropped": self.dropped,
            "attempts": self.attempts,
        }


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return Stripe's signature header. In test mode it also has a `v0`, which has no meaning."""

    def digest(key: str) -> str:
        return hmac.new(key.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()

    return f"t={timestamp},v1={digest(secret)},v0={digest('v0' + secret)}"


def sort_keys(value: Any) -> Any:
    """Return a value with its keys in Stripe's order: id, object, then alphabetical."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: ({"id": 0, "object": 1}.get(key, 2), key))
        return {key: sort_keys(value[key]) for key in keys}
    return [sort_keys(item) for item in value] if isinstance(value, list) else value


class Webhooks:
    """The webhooks of an account: its endpoints, and the deliveries of each event with their retries."""

    def __init__(
        self,
        *,
        store: Store,
        timers: Timers,
        faults: Faults,
        backoff: Sequence[float],
        timeout: float,
        endpoints: list[Endpoint],
        pool: Executor | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._store, self._timers, self._faults, self._backoff = store, timers, faults, backoff
        self.endpoints = endpoints
        self._deliveries: dict[str, list[Delivery]] = {}  # by event id
        self._held: list[Delivery] = []  # by the fault `reorder`
        self.answers: Counter[int | None] = Counter()  # of all attempts, by status; None: no answer
        self._client = httpx.Client(timeout=timeout, trust_env=False, transport=transport)
        self._pool = pool or ThreadPoolExecutor(THREADS, thread_name_prefix="fake-stripe-webhook")
        self._stopped = False

    def stop(self) -> None:
        """Finish the attempts in flight and cancel all others."""
        self._stopped = True
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def deliveries_of(self, event_id: str) -> list[Delivery]:
        """Return the deliveries of an event, one for each endpoint."""
        return self._deliveries.get(event_id, [])

    def forget(self, event_ids: Sequence[str]) -> None:
        """Remove the deliveries of these events. The caller holds the store's lock."""
        for event_id in event_ids:
            self._deliveries.pop(event_id, None)

    def send(self, event: Object) -> None:
        """Start the deliveries of a new event, with its queued faults. The caller holds the store's lock."""
        body = orjson.dumps(sort_keys(event), option=orjson.OPT_INDENT_2)
        deliveries = [Delivery(event, endpoint, body) for endpoint in self.endpoints]
        self._deliveries[event["id"]] = deliveries
        if fault := self._faults.take("duplicate", event["type"]):
            self._start(deliveries * fault.copies)
        if fault := self._faults.take("drop", event["type"]):
            self._drop(deliveries, fault)
        elif fault := self._faults.take("delay", event["type"]):
            self._timers.after(fault.seconds, partial(self._start, deliveries))
        elif fault := self._faults.take("reorder", event["type"]):
            self._hold(deliveries, fault)
        else:
            self._start(deliveries)

    def resend(self, event: Object) -> None:
        """Send an event to every endpoint once more. A failure causes no retry, and scheduled retries continue."""
        known = {delivery.endpoint: delivery for delivery in self.deliveries_of(event["id"])}
        body = orjson.dumps(sort_keys(event), option=orjson.OPT_INDENT_2)
        for endpoint in self.endpoints:
            if endpoint not in known:
                known[endpoint] = Delivery(event, endpoint, body)
        self._deliveries[event["id"]] = list(known.values())
        self._start(known.values(), retry=False)

    def wait_answered(self, event_id: str, seconds: float) -> bool:
        """Wait until every delivery of the event was attempted or dropped. Return False after `seconds`."""

        def answered() -> bool:
            return all(delivery.attempts or delivery.dropped for delivery in self.deliveries_of(event_id))

        return self._store.wait_for(answered, seconds)

    def _start(self, deliveries: Any, retry: bool = True) -> None:
        for delivery in deliveries:
            self._submit(self._attempt, delivery, 0 if retry else None)

    def _submit(self, *task: Any) -> None:
        if not self._stopped:
            self._pool.submit(*task)

    def _drop(self, deliveries: list[Delivery], fault: Fault) -> None:
        for delivery in deliveries:
            delivery.dropped = True
            if fault.acknowledged:
                self._mark_delivered(delivery)

    def _hold(self, deliveries: list[Delivery], fault: Fault) -> None:
        if not self._held:
            self._timers.after(fault.seconds, self._release)
        self._held += deliveries
        if fault.count == 0:
            self._release()

    def _release(self) -> None:
        with self._store.lock:
            held, self._held = self._held, []
        if held:
            self._submit(self._attempt_in_order, held[::-1])

    def _attempt_in_order(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._attempt(delivery, 0)

    def _attempt(self, delivery: Delivery, failures: int | None) -> None:
        """Post a delivery once, and schedule a retry if it fails. `failures` counts failed attempts; None: no retry."""
        started = time.monotonic()
        outcome = self._post(delivery)
        outcome["seconds"] = round(time.monotonic() - started, 3)
        succeeded = 200 <= outcome.get("status", 0) < 300
        with self._store.changed:
            delivery.attempts.append(outcome)
            self.answers[outcome.get("status")] += 1
            if succeeded:
                self._mark_delivered(delivery)
            self._store.changed.notify_all()
        if not succeeded and failures is not None:
            wait = self._backoff[min(failures, len(self._backoff) - 1)]
            self._timers.after(wait, partial(self._submit, self._attempt, delivery, failures + 1))

    def _mark_delivered(self, delivery: Delivery) -> None:
        if not delivery.delivered:
            delivery.delivered = True
            delivery.event["pending_webhooks"] = max(0, delivery.event["pending_webhooks"] - 1)

    def _post(self, delivery: Delivery) -> Object:
        corrupt = self._faults.take("corrupt_signature", delivery.event["type"])
        secret = "not " + delivery.endpoint.secret if corrupt else delivery.endpoint.secret
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            # The machine's time, since the receiver compares the timestamp with its own clock.
            "Stripe-Signature": sign(delivery.body, secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            return {
                "status": self._client.post(delivery.endpoint.url, content=delivery.body, headers=headers).status_code
            }
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return {"error": f"{type(error).__name__}: {error}"}
