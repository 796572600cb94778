"""The /v1 API over HTTP: API keys, faults, idempotency, form encoding and errors."""

from typing import Any

import orjson
from flask import Blueprint, Response, request

from . import forms, versions
from .account import Account, Cause
from .errors import StripeError
from .expansion import expand
from .faults import Fault
from .idempotency import Answer, Key
from .routes import ROUTES, Route
from .store import new_id


def create_blueprint(account: Account) -> Blueprint:
    """Return the routes of the API, including an error for unknown paths."""
    api = Blueprint("api", __name__, url_prefix="/v1")
    for number, route in enumerate(ROUTES):
        view = _view(account, route)
        api.add_url_rule(route.path, f"route_{number}", view, methods=[route.method])
    api.add_url_rule("/<path:_rest>", "unknown", _unknown, methods=["GET", "POST", "DELETE", "PUT", "PATCH"])
    return api


def _view(account: Account, route: Route) -> Any:
    def view(object_id: str = "") -> Response:
        return _Call(account, route, object_id).response()

    return view


def _unknown(_rest: str) -> Response:
    message = f"Unrecognized request URL ({request.method}: {request.path})."
    return _respond(_error_answer(StripeError(message, status=404)), new_id("req", 14))


def _respond(answer: Answer, request_id: str, **headers: str) -> Response:
    response = Response(answer.body, answer.status, mimetype="application/json")
    response.headers["Request-Id"] = request_id
    response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", versions.CURRENT)
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def _error_answer(error: StripeError) -> Answer:
    return Answer(error.status, orjson.dumps(error.body(), option=orjson.OPT_INDENT_2))


def _fault_answer(fault: Fault) -> Answer:
    queued = "(a fault that the control API queued)"
    if fault.kind == "api_401":
        return _error_answer(StripeError(f"Invalid API Key provided {queued}", status=401))
    if fault.kind == "api_403":
        return _error_answer(
            StripeError(f"The provided key does not have the required permissions {queued}", status=403)
        )
    if fault.kind == "api_429":
        return _error_answer(StripeError(f"Request rate limit exceeded {queued}", status=429))
    return _error_answer(StripeError(f"An unknown error occurred at Stripe {queued}.", status=500, type_="api_error"))


class _Call:
    """One request, from its arrival to its answer."""

    def __init__(self, account: Account, route: Route, object_id: str) -> None:
        self.account, self.route, self.object_id = account, route, object_id
        self.request_id = new_id("req", 14)
        self.key = request.headers.get("Idempotency-Key") if request.method == "POST" else None

    def response(self) -> Response:
        try:
            api_key = _authenticate()
            params = forms.parse((request.args if request.method == "GET" else request.form).items(multi=True))
            if self.key is None:
                fault = self._take_fault()
                response = _respond(self._answer(params, fault)[0], self.request_id)
            else:
                response, fault = self._keyed((api_key, self.key), params)
        except StripeError as error:
            return _respond(_error_answer(error), self.request_id)
        if fault and fault.performed:
            self._pause(fault)
        return response

    def _keyed(self, key: Key, params: Any) -> tuple[Response, Fault | None]:
        keys = self.account.idempotency
        headers = {"Idempotency_Key": key[1]}
        kept = keys.claim(key, (request.method, request.path, params), self.account.clock.now())
        fault = self._take_fault()
        if kept:
            answer = _fault_answer(fault) if fault else kept
            return _respond(answer, self.request_id, Idempotent_Replayed="true", **headers), fault
        keep = False
        try:
            answer, keep = self._answer(params, fault)
            if keep:
                keys.keep(key, answer, self.account.clock.now())
        finally:
            if not keep:
                keys.release(key)
        return _respond(answer, self.request_id, **headers), fault

    def _take_fault(self) -> Fault | None:
        return self.account.faults.take_for_call(request.method, request.path)

    def _answer(self, params: Any, fault: Fault | None) -> tuple[Answer, bool]:
        """Run the call with its fault. Return the answer, and True if the idempotency key keeps it."""
        if fault and not fault.performed:
            self._pause(fault)
            return _fault_answer(fault), False
        answer, keep = self._run(params)
        # The call has done its work and then failed. Stripe replays such a 500 too.
        return (_fault_answer(fault), True) if fault and fault.kind == "api_500" else (answer, keep)

    def _run(self, raw: Any) -> tuple[Answer, bool]:
        """Run the call. Return its answer, and True if the idempotency key keeps it.

        It keeps no error for a refused parameter, so that the client can correct the parameter.
        """
        cause = Cause(self.request_id, self.key)
        try:
            params = self.route.params(raw, "")
            with self.account.store.lock:
                result = self.route.action(self.account, params, self.object_id, cause)
                result = expand(self.account.store, result, params.get("expand", []))
                return Answer(200, orjson.dumps(result, option=orjson.OPT_INDENT_2)), True
        except StripeError as error:
            return _error_answer(error), not error.is_refused_parameter

    def _pause(self, fault: Fault) -> None:
        if fault.kind == "api_timeout":
            self.account.stopping.wait(fault.seconds)


def _authenticate() -> str:
    """Return the secret key: a bearer token, or the user name of basic authentication."""
    given = request.authorization
    if given is None:
        raise StripeError("You did not provide an API key.", status=401)
    key = str(given.token if given.type == "bearer" else given.username)
    if not key.startswith("sk_test_"):
        raise StripeError(f"Invalid API Key provided: {key[:7]}***", status=401)
    return key
