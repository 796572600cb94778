"""The usual webhook, answered before Flask, whose routing, hooks and objects would cost as much as all other work."""

import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import orjson
from events.web import requests
from werkzeug.exceptions import ClientDisconnected

from webhooks.receiver import Receiver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/webhooks/stripe"
FAILURE = "clozit.failure"  # in a request's environ: why this middleware could not answer it


class ReceiveFirst:
    """A middleware that receives Stripe's events, and passes failed events and all other requests to the application.

    The error of a failed event is in `FAILURE`, and the route raises it. So the application answers every failure, and
    no event is verified or published twice.
    """

    def __init__(self, receiver: Receiver, application: "WSGIApplication") -> None:
        self._receiver, self._application = receiver, application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, as WSGI describes it (PEP 3333)."""
        length = _usual_length(environ)
        if length is None:
            return self._application(environ, start_response)
        requests.begin(environ)
        try:
            event = self._receiver.receive(environ.get("HTTP_STRIPE_SIGNATURE", ""), partial(_read, environ, length))
        except Exception as error:  # noqa: BLE001 - of any class: the route raises it again
            environ[FAILURE] = error
            return self._application(environ, start_response)
        body = orjson.dumps({"event_id": event.id})
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("X-Request-ID", environ[requests.ID]),
        ]
        requests.record("POST", PATH, 200, time.perf_counter() - environ[requests.STARTED])
        start_response("200 OK", headers)
        return [body]


def _usual_length(environ: "WSGIEnvironment") -> int | None:
    """Return the length in bytes of a JSON body for the webhook route; None for any other request."""
    if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
        return None
    if environ.get("CONTENT_TYPE") not in requests.USUAL_CONTENT_TYPES or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    text = environ.get("CONTENT_LENGTH") or ""
    length = int(text) if text.isdecimal() and len(text) < 10 else requests.MAX_BODY_BYTES
    return length if 0 < length < requests.MAX_BODY_BYTES else None


def _read(environ: "WSGIEnvironment", length: int) -> bytes:
    """Return the body. Raises `ClientDisconnected` if it ends too early."""
    body: bytes = environ["wsgi.input"].read(length)
    if len(body) < length:
        raise ClientDisconnected
    return body
