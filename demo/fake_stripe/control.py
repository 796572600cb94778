"""The control API: show the state, pay without a browser, queue faults and move the clock."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import disputes, payment_page, radar, refunds, session_payments, sessions
from .account import AUTOMATIC, Account
from .errors import StripeError
from .faults import KINDS
from .ledger import event_summary, ledger
from .store import Object
from .webhooks import Endpoint

METHODS = {  # method of /_control/pay -> the fields that the customer fills in on the payment page
    "card": {"method": "card"},
    "decline": {"method": "card", "card_number": "4000000000000002"},
    "dispute": {"method": "card", "card_number": "4000000000000259"},
    "inquiry": {"method": "card", "card_number": "4000000000001976"},
    "slow_refund": {"method": "card", "card_number": refunds.SLOW_CARD},
    "failing_refund": {"method": "card", "card_number": refunds.FAILING_CARD},
    "sepa_success": {"method": "sepa_success"},
    "sepa_fail": {"method": "sepa_fail"},
    "voucher": {"method": "voucher"},
    "voucher_expires": {"method": "voucher_expires"},
    "bank_transfer": {"method": "bank_transfer"},
}
DEFAULT_EMAIL = "zoe.mueller@example.com"


def create_blueprint(account: Account) -> Blueprint:
    """Return the routes of the control API."""
    control = Blueprint("control", __name__, url_prefix="/_control")
    _handle_errors(control)
    _add_account_routes(control, account)
    _add_fault_routes(control, account)
    _add_customer_routes(control, account)
    _add_bank_routes(control, account)
    _add_radar_routes(control, account)
    _add_event_routes(control, account)
    return control


def _body(*required: str) -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise StripeError("Send a JSON object.")
    if missing := [name for name in required if name not in body]:
        raise StripeError(f"The body has no {', '.join(missing)}.", param=missing[0])
    return body


def _handle_errors(control: Blueprint) -> None:
    @control.errorhandler(StripeError)
    def failed(error: StripeError) -> tuple[Response, int]:
        return jsonify(error.body()), error.status


def _add_account_routes(control: Blueprint, account: Account) -> None:
    @control.get("/state")
    def state() -> Response:
        return jsonify(ledger(account))

    @control.post("/clock")
    def advance() -> Response:
        account.timers.advance(float(_body("advance")["advance"]))
        return jsonify(now=account.now())

    @control.post("/webhooks")
    def add_endpoint() -> Response:
        body = _body("url", "secret")
        account.webhooks.endpoints.append(Endpoint(body["url"], body["secret"]))
        return jsonify(webhooks=[endpoint.url for endpoint in account.webhooks.endpoints])

    @control.post("/event-version")
    def set_event_version() -> Response:
        """Create events in the shapes of another API version, as endpoints that were never upgraded get them."""
        account.event_version = str(_body("version")["version"])
        return jsonify(version=account.event_version)


def _add_fault_routes(control: Blueprint, account: Account) -> None:
    @control.get("/faults")
    def queued() -> Response:
        return jsonify(kinds=KINDS, queued=[asdict(fault) for fault in account.faults.queued()])

    @control.post("/faults")
    def queue() -> Response:
        body = request.get_json(silent=True)
        for fault in body if isinstance(body, list) else [_body()]:
            account.faults.add(**fault)
        return queued()

    @control.delete("/faults")
    def clear() -> Response:
        account.faults.clear()
        return queued()


def _add_customer_routes(control: Blueprint, account: Account) -> None:
    @control.post("/pay")
    def pay() -> Response:
        body = _body("session_id", "method")
        session = account.store.get("checkout.session", body["session_id"])
        typed = body.get("typed", {})
        redirect_url = pay_session(account, session, body["method"], body.get("email"), body.get("wait", 0.0), typed)
        if body.get("settle") == "now":
            _call_locked(account, session_payments.finish_delayed, session)
        return jsonify(session=session, redirect=redirect_url)

    @control.post("/expire")
    def expire() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(_call_locked(account, sessions.expire, session, AUTOMATIC))

    @control.post("/recover")
    def recover() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(_call_locked(account, sessions.recover, session))


def _add_bank_routes(control: Blueprint, account: Account) -> None:
    @control.post("/settle")
    def settle() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(settled=_call_locked(account, session_payments.finish_delayed, session), session=session)

    @control.post("/refund")
    def refund() -> Response:
        """Refund a session's payment as the dashboard does. With `refund_id`, set the status of that refund."""
        body = _body()
        if "refund_id" in body:
            known = account.store.get("refund", body["refund_id"])
            status, reason = body.get("status", "failed"), body.get("failure_reason", "unknown")
            return jsonify(_call_locked(account, refunds.advance, known, status, reason))
        params: Object = {name: body[name] for name in ("amount", "reason", "metadata") if name in body}
        params["charge"] = get_charge(account, body.get("session_id", ""))["id"]
        return jsonify(_call_locked(account, refunds.create_refund, params, AUTOMATIC))

    @control.post("/next-refund")
    def next_refund() -> Response:
        """Set the first `status` of the next refund. A status that Stripe does not have today is accepted, too."""
        _call_locked(account, refunds.queue_first_status, _body("status")["status"])
        return jsonify(queued=list(account.next_refund_statuses))

    @control.post("/dispute")
    def dispute() -> Response:
        """Open a dispute (`reason`, `inquiry`, `amount`) of a session's payment. With `status`, set its status.

        `reinstated` is the part that the bank returns although the dispute is lost, in minor units. With
        `closed_first`, the dispute is closed before the money returns.
        """
        body = _body("session_id")
        charge = get_charge(account, body["session_id"])
        if status := body.get("status"):
            known = account.store.get("dispute", charge["dispute"] or "")
            closed_first = bool(body.get("closed_first"))
            part = partial(disputes.advance, reinstated=body.get("reinstated"), closed_first=closed_first)
            return jsonify(_call_locked(account, part, known, status))
        details = {name: body[name] for name in ("reason", "inquiry", "amount") if name in body}
        return jsonify(_call_locked(account, partial(disputes.open_dispute, **details), charge))


def _add_radar_routes(control: Blueprint, account: Account) -> None:
    @control.post("/review")
    def review() -> Response:
        """Place a session's payment in Radar's review (`opened_reason`). With `closed_reason`, close this review."""
        body = _body("session_id")
        charge = get_charge(account, body["session_id"])
        if closed_reason := body.get("closed_reason"):
            return jsonify(_call_locked(account, radar.close_review, charge, closed_reason))
        return jsonify(_call_locked(account, radar.open_review, charge, body.get("opened_reason", "rule")))

    @control.post("/fraud-warning")
    def fraud_warning() -> Response:
        """Let the card's bank warn of fraud with a session's payment."""
        charge = get_charge(account, _body("session_id")["session_id"])
        return jsonify(_call_locked(account, radar.warn, charge))


def _add_event_routes(control: Blueprint, account: Account) -> None:
    @control.post("/resend")
    def resend() -> Response:
        event = account.store.get("event", _body("event_id")["event_id"])
        _call_locked(account, lambda _account: account.webhooks.resend(event))
        return jsonify(event_summary(account, event))

    @control.post("/trigger")
    def trigger() -> Response:
        """Create an event of any type about an existing object, with `overrides` for some of its fields.

        With `account`, it is an event of that connected account.
        """
        body = _body("type", "object_id")
        about = account.store.find(body["object_id"])
        if about is None:
            raise StripeError(f"No such object: '{body['object_id']}'", status=404)
        emit = partial(Account.emit, connected_account=body.get("account"))
        event = _call_locked(account, emit, body["type"], {**about, **body.get("overrides", {})})
        return jsonify(event)


def pay_session(
    account: Account,
    session: Object,
    method: str,
    email: str | None = None,
    wait: float = 0.0,
    typed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Pay a session as on the payment page and return the redirect URL. Raise `StripeError` if it is declined.

    `wait` is the longest time in seconds to wait for the webhook's answer. `typed` are fields of the page: country,
    shipping_rate, promotion_code, presentment_currency with presentment_amount, currency, promotions, phone, line1, …
    """
    if method not in METHODS:
        raise StripeError(f"Unknown method: {method}. Use one of {', '.join(METHODS)}.", param="method")
    form = {
        **payment_page.prefilled_form(account, session["id"]),
        **METHODS[method],
        "email": email or session["customer_email"] or DEFAULT_EMAIL,
        "terms": "accepted",
        **typed,
    }
    with account.store.lock:
        if session["status"] == "open":
            payment_page.apply_choices(account, session, form)
    return payment_page.pay(account, session, form, wait)


def get_charge(account: Account, session_id: str) -> Object:
    """Return the latest charge of a session's payment. Raise `StripeError` (404) if it has none."""
    session = account.store.get("checkout.session", session_id, "session_id")
    intent = account.store.get("payment_intent", session["payment_intent"] or "")
    return account.store.get("charge", intent["latest_charge"] or "")


def _call_locked(account: Account, action: Any, *args: Any) -> Any:
    with account.store.lock:
        return action(account, *args)
