"""The middleware: which requests it answers without Flask, and that its answers are those of the route."""

import gc
import io
import weakref
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, cast

import pytest
from events.errors import PublishUnconfirmedError
from events.messaging.memory_publisher import MemoryPublisher
from events.testing.stripe import checkout_session, sign, stripe_event, to_bytes
from flask.testing import FlaskClient
from webhooks.app import create_app
from webhooks.config import Config
from webhooks.middleware import PATH, ReceiveFirst
from werkzeug.test import Client, EnvironBuilder, TestResponse

SECRET = "whsec_" + "n" * 24
BODY = to_bytes(stripe_event("checkout.session.completed", checkout_session("chk_1")))
Environ = dict[str, Any]


class CountingPublisher(MemoryPublisher):
    """A publisher that counts its events, and fails each with `error`."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.published = 0
        self.error: Exception | None = None

    def publish(self, event: Any) -> Any:
        self.published += 1
        return super().publish(event)

    def wait(self, *futures: Any) -> None:
        if self.error:
            raise copy(self.error)  # its traceback belongs to one request


@pytest.fixture
def publisher() -> CountingPublisher:
    return CountingPublisher()


@pytest.fixture
def client(publisher: CountingPublisher) -> FlaskClient:
    config = Config(service="webhooks", port=0, broker_url="memory://", webhook_secrets=[SECRET], livemode=False)
    return create_app(config, publisher).test_client()


@pytest.fixture
def middleware(client: FlaskClient) -> ReceiveFirst:
    return cast(ReceiveFirst, client.application.wsgi_app)


def environ(body: bytes = BODY, **changes: Any) -> Environ:
    return {
        "data": body,
        "content_type": "application/json",
        "headers": {"Stripe-Signature": sign(body, SECRET), "X-Request-ID": "req-1"},
        **changes,
    }


def post(application: Callable[..., Iterable[bytes]], request: Environ) -> TestResponse:
    return Client(application).open("/webhooks/stripe", **{"method": "POST", **request})


def refuse(*_: Any) -> Iterable[bytes]:
    raise AssertionError("the request came to Flask")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_usual_event_is_answered_without_flask(middleware: ReceiveFirst, content_type: str) -> None:
    alone = ReceiveFirst(middleware._receiver, refuse)
    answer = post(alone, environ(content_type=content_type))
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (200, "req-1")


REQUESTS = {
    "usual": environ(),
    "strange signature": environ(headers={"Stripe-Signature": sign(BODY, "whsec_stranger")}),
    "no signature": environ(headers={}),
    "no event": environ(b"{}"),
    "other mode": environ(to_bytes(stripe_event("charge.succeeded", {}, livemode=True))),
    "large": environ(b" " * 1024 * 1024),
    "empty": environ(b""),
    "no JSON": environ(content_type="text/plain"),
    "other JSON": environ(content_type="application/vnd.stripe+json"),
    "GET": environ(method="GET"),
    "OPTIONS": environ(method="OPTIONS"),
    "chunked": environ(environ_overrides={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}),
    "ends early": environ(environ_overrides={"CONTENT_LENGTH": str(len(BODY) + 1)}),
    "impossible length": environ(environ_overrides={"CONTENT_LENGTH": "9" * 20}),
    "query": environ(query_string="from=stripe"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_answer_is_that_of_the_route(middleware: ReceiveFirst, request_: Environ) -> None:
    """The route alone gives the same status, headers and body."""

    def answer(application: Any) -> Any:
        with post(application, request_) as response:
            headers = {name: value for name, value in response.headers if name != "X-Request-ID"}
            document = response.json if response.is_json else response.data
            if isinstance(document, dict):
                document.pop("request_id", None)
            return response.status_code, headers, document

    assert answer(middleware) == answer(middleware._application)


def test_unconfirmed_event_is_published_once(
    client: FlaskClient, publisher: CountingPublisher, middleware: ReceiveFirst
) -> None:
    publisher.error = PublishUnconfirmedError("broker frozen")
    answer = post(middleware, environ())
    assert (answer.status_code, answer.json and answer.json["type"]) == (503, "urn:clozit:problem:broker-unavailable")
    assert publisher.published == 1


def test_defect_is_answered_500(publisher: CountingPublisher, middleware: ReceiveFirst) -> None:
    publisher.error = ZeroDivisionError()
    answer = post(middleware, environ())
    assert (answer.status_code, answer.json and answer.json["request_id"]) == (500, "req-1")


def test_body_that_ends_early_is_refused(publisher: CountingPublisher, middleware: ReceiveFirst) -> None:
    cut = {"wsgi.input": io.BytesIO(BODY[:-1])}
    assert post(middleware, environ(environ_overrides=cut)).status_code == 400
    assert publisher.published == 0


def test_events_with_either_answer_are_in_the_metrics(client: FlaskClient, publisher: CountingPublisher) -> None:
    def durations(status: int) -> float:
        name = "clozit_http_request_duration_seconds_count"
        line = f'{name}{{method="POST",route="/webhooks/stripe",status="{status}"}} '
        found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
        return float(found[0].removeprefix(line)) if found else 0.0

    before = {status: durations(status) for status in (200, 503)}
    assert post(client.application, environ()).status_code == 200
    publisher.error = PublishUnconfirmedError("broker frozen")
    assert post(client.application, environ()).status_code == 503
    assert {status: durations(status) - before[status] for status in (200, 503)} == {200: 1, 503: 1}


def test_duration_of_a_failure_has_the_wait_for_the_broker(
    publisher: CountingPublisher, middleware: ReceiveFirst, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0

    def wait(*_: Any) -> None:
        nonlocal now
        now += 3
        raise PublishUnconfirmedError("broker frozen")

    durations: list[float] = []
    monkeypatch.setattr(publisher, "wait", wait)
    monkeypatch.setattr("events.web.requests.record", lambda *values: durations.append(values[-1]))
    monkeypatch.setattr("time.perf_counter", lambda: now)
    post(middleware, environ())
    assert durations == [3]


@pytest.mark.parametrize(("secret", "status"), [("whsec_stranger", "400"), (SECRET, "503")])
def test_failed_event_does_not_stay_in_memory(
    publisher: CountingPublisher, middleware: ReceiveFirst, secret: str, status: str
) -> None:
    """Anyone can post bodies with a bad signature. A cycle of references would keep each until the next collection."""

    class Body(io.BytesIO):
        """A body that can be watched."""

    publisher.error = PublishUnconfirmedError("broker frozen")
    body = Body(BODY)
    request = EnvironBuilder(path=PATH, method="POST", input_stream=body, content_type="application/json").get_environ()
    request |= {"CONTENT_LENGTH": str(len(BODY)), "HTTP_STRIPE_SIGNATURE": sign(BODY, secret)}
    gc.collect()
    gc.disable()
    try:
        statuses: list[str] = []
        for part in middleware(request, lambda status, *_: statuses.append(status)):  # type: ignore[arg-type]
            assert part
        kept = weakref.ref(body)
        del body, request
        assert kept() is None
    finally:
        gc.enable()
    assert [text[:3] for text in statuses] == [status]
