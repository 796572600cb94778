"""The fake as a server in this process: what the demo and tests start and stop."""

import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from . import control, disputes, hosted, refunds, sessions
from .account import AUTOMATIC, Account, Config
from .app import create_app
from .faults import Fault
from .ledger import ledger
from .state import Object
from .webhooks import Endpoint


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_args: Any) -> None:
        """The ledger tells what was asked; a line per request would bury the demo's output."""


class FakeStripe:
    """Bound to its port from the start (`url` is known), serving between `start` and `stop`."""

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
        self._server.serve_forever(poll_interval=0.05)  # so that `stop` need not wait long

    def start(self) -> "FakeStripe":
        self.account.start()
        self._thread.start()
        return self

    def stop(self) -> None:
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
        return ledger(self.account)

    def session(self, session_id: str) -> Object:
        return self.account.store.get("checkout.session", session_id)

    def line_items(self, session_id: str) -> list[Object]:
        return self.account.store.line_items[session_id]

    def add_webhook(self, url: str, secret: str) -> None:
        self.account.webhooks.endpoints.append(Endpoint(url, secret))

    def add_fault(self, kind: str, **details: Any) -> Fault:
        return self.account.faults.add(kind=kind, **details)

    def clear_faults(self) -> None:
        self.account.faults.clear()

    def pay(
        self, session_id: str, method: str = "card", email: str | None = None, wait: float = 0.0, **typed: str
    ) -> str:
        """Pay as on the page (methods: see `control.PAYING`), wait for the webhook; returns the redirect.

        `typed` are fields of the page: country, shipping_rate, promotion_code, promotions, phone, line1, …
        """
        return control.pay_session(self.account, self.session(session_id), method, email, wait, typed)

    def settle(self, session_id: str) -> bool:
        """The bank's answer to a SEPA debit comes now."""
        with self.account.store.lock:
            return hosted.settle(self.account, self.session(session_id))

    def expire(self, session_id: str) -> Object:
        with self.account.store.lock:
            return sessions.expire(self.account, self.session(session_id), AUTOMATIC)

    def recover(self, session_id: str) -> Object:
        """The customer follows the expired session's recovery link; returns the new session."""
        with self.account.store.lock:
            return sessions.recover(self.account, self.session(session_id))

    def refund(self, session_id: str, **params: Any) -> Object:
        """As in the dashboard: `amount`, `reason`, `metadata`; without an amount, all that is left."""
        with self.account.store.lock:
            wanted = {**params, "charge": control.charge_of(self.account, session_id)["id"]}
            return refunds.create_refund(self.account, wanted, AUTOMATIC)

    def begin_next_refund_as(self, status: str) -> None:
        """`pending` or `requires_action`, whoever makes it; several calls queue up."""
        with self.account.store.lock:
            refunds.begin_next_as(self.account, status)

    def advance_refund(self, refund_id: str, status: str, reason: str = "unknown") -> Object:
        """What becomes of a refund: pending, succeeded, failed (also after it succeeded), canceled."""
        with self.account.store.lock:
            return refunds.advance(self.account, self.account.store.get("refund", refund_id), status, reason)

    def dispute(self, session_id: str, status: str | None = None, **how: Any) -> Object:
        """Open one (`reason`, `inquiry`, `amount`); with a status, what becomes of it (see `disputes.NEXT`)."""
        with self.account.store.lock:
            charge = control.charge_of(self.account, session_id)
            if status is None:
                return disputes.open_dispute(self.account, charge, **how)
            return disputes.advance(self.account, self.account.store.get("dispute", charge["dispute"] or ""), status)

    def advance(self, seconds: float) -> None:
        self.account.timers.advance(seconds)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Until the condition holds; looked at after every change and delivery."""
        return self.account.store.wait_for(condition, timeout)

    def events(self, type_: str = "*") -> list[Object]:
        """Oldest first, of the types that match the pattern."""
        with self.account.store.lock:
            return [event for event in self.account.store.all("event")[::-1] if fnmatchcase(event["type"], type_)]

    def wait_event(self, type_: str, count: int = 1, timeout: float = 10.0) -> bool:
        """Until so many events of the type have been made (not yet delivered: see `wait_delivered`)."""
        return self.wait_for(lambda: len(self.events(type_)) >= count, timeout)

    def wait_delivered(self, timeout: float = 10.0) -> bool:
        """Until every event made so far has reached every endpoint."""
        return self.wait_for(lambda: not any(e["pending_webhooks"] for e in self.account.store.all("event")), timeout)

    def serve(self) -> None:
        """Until interrupted."""
        with self:
            while self._thread.is_alive():
                time.sleep(1)
