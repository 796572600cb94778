"""The fake Stripe as a server in this process, for the demo and for tests."""

import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from . import control, disputes, radar, refunds, session_payments, sessions
from .account import AUTOMATIC, Account, Config
from .app import create_app
from .client import FakeStripeClient
from .faults import Fault
from .ledger import ledger
from .store import Object
from .webhooks import Endpoint


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_args: Any) -> None:
        """Log nothing: a line for each request would hide the demo's output."""


class FakeStripe:
    """A fake Stripe on a local port. Its `url` is known from the beginning. It serves between `start` and `stop`.

    Its methods act as the customer, the bank or Stripe's dashboard, and raise `StripeError` if the fake
    refuses the action. As a context manager, it serves within the block.
    """

    def __init__(
        self,
        port: int = 0,
        webhooks: Sequence[tuple[str, str]] = (),
        webhook_backoff: Sequence[float] = (1, 2, 4, 8, 16, 32),
        sepa_delay: float = 20.0,
        *,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        **config: Any,
    ) -> None:
        self.url = f"http://{host}:{port}"
        self._server = make_server(host, port, self._application, threaded=True, request_handler=_Quiet)
        self.url = f"http://{host}:{self._server.server_port}"
        settings = Config(webhooks=webhooks, webhook_backoff=webhook_backoff, sepa_delay=sepa_delay, **config)
        self.account = Account(settings, public_url or self.url)
        self._app = create_app(self.account)
        self._thread = threading.Thread(target=self._serve, name="fake-stripe", daemon=True)

    def _application(self, environ: Any, start_response: Any) -> Any:
        return self._app(environ, start_response)

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)  # seconds; `stop` waits at most this long

    def start(self) -> "FakeStripe":
        """Start serving and start the timers. Return the fake itself."""
        self.account.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the server, its timers and its webhooks."""
        self.account.stop()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> "FakeStripe":
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def ledger(self) -> Object:
        """The objects of `ledger.KINDS`, all events with their deliveries, and the totals by currency."""
        return ledger(self.account)

    def session(self, session_id: str) -> Object:
        """Return the stored Checkout Session itself, not a copy. Raise `StripeError` (404) if it does not exist."""
        return self.account.store.get("checkout.session", session_id)

    def line_items(self, session_id: str) -> list[Object]:
        """Return all lines of a session."""
        return self.account.store.line_items[session_id]

    def add_webhook(self, url: str, secret: str) -> None:
        """Add an endpoint. It gets all future events, and past ones only by a resend."""
        self.account.webhooks.endpoints.append(Endpoint(url, secret))

    def add_fault(self, kind: str, **details: Any) -> Fault:
        """Queue a fault; `faults.KINDS` lists the kinds."""
        return self.account.faults.add(kind=kind, **details)

    def clear_faults(self) -> None:
        """Remove all queued faults."""
        self.account.faults.clear()

    def create(self, path: str, params: dict[str, str]) -> Object:
        """Create an object through Stripe's API. `params` are the fields of its form, such as `promotion[type]`."""
        return FakeStripeClient(self.url).create(path, params)

    def set_event_version(self, version: str) -> None:
        """Create all coming events in the shapes of this API version, such as `2022-08-01`."""
        self.account.event_version = version

    def pay(
        self, session_id: str, method: str = "card", email: str | None = None, wait: float = 0.0, **typed: str
    ) -> str:
        """Pay a session as on the payment page and return the redirect URL. Raise `StripeError` if it is declined.

        `control.METHODS` lists the methods. `wait` is the longest time in seconds to wait for the webhook's answer.
        `typed` are fields of the page: country, shipping_rate, promotion_code, promotions, presentment_currency with
        presentment_amount, phone, line1, …
        """
        return control.pay_session(self.account, self.session(session_id), method, email, wait, typed)

    def settle(self, session_id: str) -> bool:
        """End the wait for a session's SEPA debit, voucher or bank transfer. Return False if none is pending."""
        with self.account.store.lock:
            return session_payments.finish_delayed(self.account, self.session(session_id))

    def expire(self, session_id: str) -> Object:
        """Expire a session. Raise `StripeError` if it is not open."""
        with self.account.store.lock:
            return sessions.expire(self.account, self.session(session_id), AUTOMATIC)

    def recover(self, session_id: str) -> Object:
        """Follow an expired session's recovery link as the customer does, and return the new session."""
        with self.account.store.lock:
            return sessions.recover(self.account, self.session(session_id))

    def refund(self, session_id: str, **params: Any) -> Object:
        """Refund a session's payment as the dashboard does: all that is left, or an `amount` in minor units.

        `params` can also have `reason` and `metadata`.
        """
        with self.account.store.lock:
            charge = control.get_charge(self.account, session_id)
            return refunds.create_refund(self.account, {**params, "charge": charge["id"]}, AUTOMATIC)

    def queue_refund_status(self, status: str) -> None:
        """Set the first status of the next refund, also one that Stripe does not have. An empty status becomes null.

        Each call queues one status, for one more refund. Raise `StripeError` for `failed` and `canceled`.
        """
        with self.account.store.lock:
            refunds.queue_first_status(self.account, status)

    def advance_refund(self, refund_id: str, status: str, reason: str = "unknown") -> Object:
        """Move a refund to its next status (see `refunds.NEXT_STATUSES`), such as failed after succeeded."""
        with self.account.store.lock:
            return refunds.advance(self.account, self.account.store.get("refund", refund_id), status, reason)

    def open_dispute(self, session_id: str, **details: Any) -> Object:
        """Open a dispute of a session's payment as the customer's bank does (`reason`, `inquiry`, `amount`)."""
        with self.account.store.lock:
            return disputes.open_dispute(self.account, control.get_charge(self.account, session_id), **details)

    def advance_dispute(
        self, session_id: str, status: str, reinstated: int | None = None, *, closed_first: bool = False
    ) -> Object:
        """Move the dispute of a session's payment to its next status (see `disputes.NEXT_STATUSES`).

        `reinstated` is the part that the bank returns although the dispute is lost, in minor units. With
        `closed_first`, the dispute is closed before the money returns.
        """
        with self.account.store.lock:
            charge = control.get_charge(self.account, session_id)
            dispute = self.account.store.get("dispute", charge["dispute"] or "")
            return disputes.advance(self.account, dispute, status, reinstated=reinstated, closed_first=closed_first)

    def open_review(self, session_id: str) -> Object:
        """Place a session's payment in review as Radar does."""
        with self.account.store.lock:
            return radar.open_review(self.account, control.get_charge(self.account, session_id))

    def close_review(self, session_id: str, closed_reason: str) -> Object:
        """Close the review of a session's payment as a person does in the dashboard."""
        with self.account.store.lock:
            return radar.close_review(self.account, control.get_charge(self.account, session_id), closed_reason)

    def warn(self, session_id: str) -> Object:
        """Let the card's bank warn of fraud with a session's payment."""
        with self.account.store.lock:
            return radar.warn(self.account, control.get_charge(self.account, session_id))

    def forget(self, age_s: float) -> None:
        """Remove finished objects and keys older than `age_s` seconds, so that the fake can run for hours."""
        before = self.account.clock.now() - age_s
        with self.account.store.lock:
            self.account.webhooks.forget(self.account.store.forget(before))
        self.account.idempotency.forget(before)

    def advance(self, seconds: float) -> None:
        """Move the fake's clock forward by these seconds. The timers' thread then runs the actions that are due."""
        self.account.timers.advance(seconds)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Wait until the condition holds. Return False after `timeout` seconds.

        The condition is checked after each new object and each attempt to deliver an event.
        """
        return self.account.store.wait_for(condition, timeout)

    def events(self, type_: str = "*") -> list[Object]:
        """Return the events whose types match the pattern, oldest first."""
        with self.account.store.lock:
            return [event for event in self.account.store.all("event")[::-1] if fnmatchcase(event["type"], type_)]

    def wait_event(self, type_: str, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until `count` events of the type are created. They may be undelivered. Return False after `timeout`."""
        return self.wait_for(lambda: len(self.events(type_)) >= count, timeout)

    def wait_delivered(self, timeout: float = 10.0) -> bool:
        """Wait until no event is undelivered at any endpoint. Return False after `timeout` seconds."""
        return self.wait_for(lambda: not any(e["pending_webhooks"] for e in self.account.store.all("event")), timeout)

    def serve(self) -> None:
        """Serve until the process is interrupted."""
        with self:
            while self._thread.is_alive():
                time.sleep(1)
