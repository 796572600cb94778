"""The control API: look at everything, make payments without a browser, order faults, move the clock."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import disputes, hosted, page, refunds, sessions
from .account import AUTOMATIC, Account
from .errors import StripeError
from .faults import KINDS
from .ledger import event_summary, ledger
from .state import Object
from .webhooks import Endpoint

PAYING = {  # method of /_control/pay -> what the customer would type on the page
    "card": {"method": "card"},
    "decline": {"method": "card", "card_number": "4000000000000002"},
    "dispute": {"method": "card", "card_number": "4000000000000259"},
    "inquiry": {"method": "card", "card_number": "4000000000001976"},
    "slow_refund": {"method": "card", "card_number": refunds.SLOW_CARD},
    "failing_refund": {"method": "card", "card_number": refunds.FAILING_CARD},
    "sepa_success": {"method": "sepa_success"},
    "sepa_fail": {"method": "sepa_fail"},
}
CUSTOMER = "zoe.mueller@example.com"


def create_blueprint(account: Account) -> Blueprint:
    control = Blueprint("control", __name__, url_prefix="/_control")
    _answer_errors(control)
    _look(control, account)
    _order_faults(control, account)
    _act_as_customer(control, account)
    _act_as_bank_or_shop(control, account)
    return control


def _body(*required: str) -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise StripeError("Send a JSON object.")
    if missing := [name for name in required if name not in body]:
        raise StripeError(f"The body needs {', '.join(missing)}.", param=missing[0])
    return body


def _answer_errors(control: Blueprint) -> None:
    @control.errorhandler(StripeError)
    def failed(error: StripeError) -> tuple[Response, int]:
        return jsonify(error.body()), error.status


def _look(control: Blueprint, account: Account) -> None:
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


def _order_faults(control: Blueprint, account: Account) -> None:
    @control.get("/faults")
    def queued() -> Response:
        return jsonify(kinds=KINDS, queued=[asdict(fault) for fault in account.faults.queued()])

    @control.post("/faults")
    def queue() -> Response:
        wanted = request.get_json(silent=True)
        for one in wanted if isinstance(wanted, list) else [_body()]:
            account.faults.add(**one)
        return queued()

    @control.delete("/faults")
    def clear() -> Response:
        account.faults.clear()
        return queued()


def _act_as_customer(control: Blueprint, account: Account) -> None:
    @control.post("/pay")
    def pay() -> Response:
        body = _body("session_id", "method")
        session = account.store.get("checkout.session", body["session_id"])
        typed = body.get("typed", {})
        redirect_url = pay_session(account, session, body["method"], body.get("email"), body.get("wait", 0.0), typed)
        if body.get("settle") == "now":
            _locked(account, hosted.settle, session)
        return jsonify(session=session, redirect=redirect_url)

    @control.post("/expire")
    def expire() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(_locked(account, sessions.expire, session, AUTOMATIC))

    @control.post("/recover")
    def recover() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(_locked(account, sessions.recover, session))


def _act_as_bank_or_shop(control: Blueprint, account: Account) -> None:
    @control.post("/settle")
    def settle() -> Response:
        session = account.store.get("checkout.session", _body("session_id")["session_id"])
        return jsonify(settled=_locked(account, hosted.settle, session), session=session)

    @control.post("/refund")
    def refund() -> Response:
        """As in the dashboard: a refund of a session's payment; or what becomes of a refund (`status`: failed)."""
        body = _body()
        if "refund_id" in body:
            known = account.store.get("refund", body["refund_id"])
            status, reason = body.get("status", "failed"), body.get("failure_reason", "unknown")
            return jsonify(_locked(account, refunds.advance, known, status, reason))
        wanted: Object = {name: body[name] for name in ("amount", "reason", "metadata") if name in body}
        wanted["charge"] = charge_of(account, body.get("session_id", ""))["id"]
        return jsonify(_locked(account, refunds.create_refund, wanted, AUTOMATIC))

    @control.post("/next-refund")
    def next_refund() -> Response:
        """`status` pending or requires_action: how the next refund begins, whoever makes it."""
        _locked(account, refunds.begin_next_as, _body("status")["status"])
        return jsonify(queued=list(account.refund_starts))

    @control.post("/dispute")
    def dispute() -> Response:
        """Open one on a session's payment (`reason`, `inquiry`, `amount`); with a `status`, what becomes of it."""
        body = _body("session_id")
        charge = charge_of(account, body["session_id"])
        if status := body.get("status"):
            found = account.store.get("dispute", charge["dispute"] or "")
            return jsonify(_locked(account, disputes.advance, found, status))
        wanted = {name: body[name] for name in ("reason", "inquiry", "amount") if name in body}
        return jsonify(_locked(account, partial(disputes.open_dispute, **wanted), charge))

    @control.post("/resend")
    def resend() -> Response:
        event = account.store.get("event", _body("event_id")["event_id"])
        _locked(account, lambda _account: account.webhooks.resend(event))
        return jsonify(event_summary(account, event))

    @control.post("/trigger")
    def trigger() -> Response:
        """An event of any type about an existing object, with some of its members overridden."""
        body = _body("type", "object_id")
        about = account.store.find(body["object_id"])
        if about is None:
            raise StripeError(f"No such object: '{body['object_id']}'", status=404)
        event = _locked(account, Account.emit, body["type"], {**about, **body.get("overrides", {})})
        return jsonify(event)


def pay_session(
    account: Account,
    session: Object,
    method: str,
    email: str | None = None,
    wait: float = 0.0,
    typed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Pay as on the hosted page; returns the redirect. A decline raises.

    `typed` are the page's fields: country, shipping_rate, promotion_code, promotions, phone, line1, …
    """
    if method not in PAYING:
        raise StripeError(f"Unknown method: {method}; known are {', '.join(PAYING)}", param="method")
    address = email or session["customer_email"] or CUSTOMER
    form = {**page.prefilled(account, session["id"]), **PAYING[method], "email": address, "terms": "accepted", **typed}
    with account.store.lock:
        if session["status"] == "open":
            page.choose(account, session, form)
    return page.pay(account, session, form, wait)


def charge_of(account: Account, session_id: str) -> Object:
    session = account.store.get("checkout.session", session_id, "session_id")
    intent = account.store.get("payment_intent", session["payment_intent"] or "")
    return account.store.get("charge", intent["latest_charge"] or "")


def _locked(account: Account, act: Any, *args: Any) -> Any:
    with account.store.lock:
        return act(account, *args)
