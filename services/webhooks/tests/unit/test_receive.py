"""The webhook route: the requests that it accepts and rejects, and its answers."""

import io
import time
from concurrent.futures import Future
from typing import Any

import pytest
from events.errors import PublishUnconfirmedError
from events.messaging import pika_connection
from events.messaging.event import Event
from events.testing.stripe import checkout_session, sign, stripe_event, to_bytes
from flask.testing import FlaskClient
from webhooks.app import create_app
from webhooks.config import Config
from werkzeug.test import TestResponse

SECRET, OLD_SECRET = "whsec_" + "n" * 24, "whsec_" + "o" * 24


class RecordingPublisher:
    """A publisher that confirms every event, or fails each with `error`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: PublishUnconfirmedError | None = None

    def publish(self, event: Event) -> "Future[None]":
        self.events.append(event)
        return Future()

    def wait(self, *futures: "Future[None]") -> None:
        if self.error:
            raise self.error

    def check(self) -> None:
        if self.error:
            raise self.error

    def close(self) -> None: ...


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def client(publisher: RecordingPublisher) -> FlaskClient:
    config = Config(
        service="webhooks", port=0, broker_url="memory://", webhook_secrets=[SECRET, OLD_SECRET], livemode=False
    )
    return create_app(config, publisher).test_client()


def post(client: FlaskClient, body: bytes, **changes: Any) -> TestResponse:
    headers = {"Stripe-Signature": sign(body, SECRET), "Content-Type": "application/json", **changes}
    return client.post("/webhooks/stripe", data=body, headers=headers)


def completed(**overrides: Any) -> bytes:
    return to_bytes(stripe_event("checkout.session.completed", checkout_session("chk_1"), **overrides))


def test_signed_event_is_published_with_its_exact_bytes(client: FlaskClient, publisher: RecordingPublisher) -> None:
    body = completed(event_id="evt_1", created=1793613742)
    assert post(client, body).status_code == 200
    [event] = publisher.events
    assert event.body == body
    assert (event.id, event.routing_key, event.correlation_id) == (
        "evt_1",
        "stripe.checkout.session.completed",
        "chk_1",
    )
    assert event.occurred_at.timestamp() == 1793613742
    assert event.headers["livemode"] is False
    assert event.headers["api_version"] == "2026-10-28.endive"


def test_query_of_the_endpoint_at_stripe_is_ignored(client: FlaskClient, publisher: RecordingPublisher) -> None:
    body = completed()
    headers = {"Stripe-Signature": sign(body, SECRET)}
    answer = client.post("/webhooks/stripe?from=stripe", data=body, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert len(publisher.events) == 1


def test_every_configured_secret_is_valid(client: FlaskClient, publisher: RecordingPublisher) -> None:
    body = completed()
    assert post(client, body, **{"Stripe-Signature": sign(body, OLD_SECRET)}).status_code == 200


def test_header_with_several_signatures_is_accepted(client: FlaskClient) -> None:
    body = completed()
    now = int(time.time())
    signatures = [sign(body, secret, now).split(",")[1] for secret in ("whsec_stranger", SECRET)]
    assert post(client, body, **{"Stripe-Signature": f"t={now},{','.join(signatures)},v0=abc"}).status_code == 200


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        ("", "bad-signature"),
        ("garbage", "bad-signature"),
        ("t=abc,v1=00", "bad-signature"),
        ("v1=00", "bad-signature"),
        ("t=1,v1=é", "bad-signature"),
        ("t=99999999999999999999,v1=00", "bad-signature"),
        (f"t={'9' * 900},v1={'0' * 64}", "bad-signature"),
        ("t=NOW,v1=00", "bad-signature"),
        ("t=NOW,v0=" + "0" * 64, "bad-signature"),
    ],
)
def test_malformed_signature_is_refused(
    client: FlaskClient, publisher: RecordingPublisher, signature: str, kind: str
) -> None:
    answer = client.post(
        "/webhooks/stripe",
        data=completed(),
        content_type="application/json",
        environ_overrides={"HTTP_STRIPE_SIGNATURE": signature.replace("NOW", str(int(time.time())))},
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["type"] == f"urn:clozit:problem:{kind}"
    assert publisher.events == []


@pytest.mark.parametrize("shift", [-301, 400])
def test_signature_outside_the_tolerance_is_refused(client: FlaskClient, shift: int) -> None:
    body = completed()
    answer = post(client, body, **{"Stripe-Signature": sign(body, SECRET, int(time.time()) + shift)})
    assert answer.status_code == 400


def test_one_more_newline_breaks_the_signature(client: FlaskClient) -> None:
    body = completed()
    assert post(client, body + b"\n", **{"Stripe-Signature": sign(body, SECRET)}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"{",
        b"\xff\xfe",
        b'"text"',
        b'{"id":"evt_1"}',
        b'{"id":1,"type":"a","created":1,"livemode":false,"data":{"object":{}}}',
        b'{"id":"evt_1","type":"a","created":"1","livemode":false,"data":{"object":{}}}',
        b'{"id":"evt_1","type":"a","created":1,"livemode":false,"data":{"object":[]}}',
        b'{"id":"evt_1","type":"a","created":1e999,"livemode":false,"data":{"object":{}}}',
        '{"id":"evt_%s","type":"a","created":1,"livemode":false,"data":{"object":{}}}'.replace(
            "%s", "ü" * 200
        ).encode(),
        b'{"id":"","type":"a","created":1,"livemode":false,"data":{"object":{}}}',
        b'{"id":"evt_1","type":"\\u0000","created":1,"livemode":false,"data":{"object":{}}}',
        b'{"id":"evt_1","object":"v2.core.event","type":"v1.x","created":"2026-11-02T00:00:00Z"}',
    ],
)
def test_signed_body_that_is_no_event_is_refused(
    client: FlaskClient, publisher: RecordingPublisher, body: bytes
) -> None:
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert publisher.events == []


def test_thin_event_is_refused_with_the_remedy(client: FlaskClient) -> None:
    answer = post(client, b'{"id":"evt_1","object":"v2.core.event"}')
    assert answer.json is not None
    assert "snapshot" in answer.json["detail"]


def test_event_of_the_other_mode_is_refused(client: FlaskClient, publisher: RecordingPublisher) -> None:
    assert post(client, completed(livemode=True)).status_code == 400
    assert publisher.events == []


def test_invalid_metadata_gives_no_correlation_id(client: FlaskClient, publisher: RecordingPublisher) -> None:
    invalid: list[Any] = [
        None,
        [],
        {"checkout_id": 5},
        *({"checkout_id": text} for text in ("x" * 300, "ü" * 200, "\n")),
    ]
    for metadata in invalid:
        assert post(client, to_bytes(stripe_event("charge.succeeded", {"metadata": metadata}))).status_code == 200
    assert [event.correlation_id for event in publisher.events] == [None] * 6


@pytest.mark.parametrize(("created", "year"), [(-1, 1970), (-(2**63), 1970), (2**32, 2106), (99999999999999, 2106)])
def test_impossible_time_is_clamped_and_its_event_published(
    client: FlaskClient, publisher: RecordingPublisher, created: int, year: int
) -> None:
    body = completed(created=created)
    assert post(client, body).status_code == 200
    [event] = publisher.events
    assert (event.occurred_at.year, event.body) == (year, body)


def test_odd_events_of_other_integrations_can_be_encoded(client: FlaskClient, publisher: RecordingPublisher) -> None:
    """A signed event is published with any content: Stripe would stop sending it after three days."""
    long = "ü" * 5000
    odd = {"metadata": {"checkout_id": long, "traceparent": long}}
    assert post(client, to_bytes(stripe_event("charge.succeeded", odd, created=-1, account=long))).status_code == 200
    assert [pika_connection.encode(event)[:1] for event in publisher.events] == [b"\x01"]
    assert publisher.events[0].headers.keys() == {"livemode", "api_version", "received_at"}


def test_signature_header_is_checked_before_the_body_is_read(client: FlaskClient) -> None:
    class NeverSent(io.RawIOBase):
        def readinto(self, _buffer: Any) -> int:
            raise AssertionError("the body was read")

    for signature in ("", "t=1,v1=" + "0" * 64, ",".join([f"t={int(time.time())}", *["v1=" + "0" * 64] * 2000])):
        answer = client.post(
            "/webhooks/stripe",
            content_type="application/json",
            environ_overrides={
                "HTTP_STRIPE_SIGNATURE": signature,
                "CONTENT_LENGTH": "1000",
                "wsgi.input": NeverSent(),
            },
        )
        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["type"] == "urn:clozit:problem:bad-signature"


def test_other_content_type_is_refused(client: FlaskClient) -> None:
    assert post(client, completed(), **{"Content-Type": "text/plain"}).status_code == 415


def test_body_over_one_mebibyte_is_refused(client: FlaskClient, publisher: RecordingPublisher) -> None:
    assert post(client, b" " * (1024 * 1024 + 1)).status_code == 413
    assert publisher.events == []


def test_chunked_body_over_one_mebibyte_is_refused(client: FlaskClient, publisher: RecordingPublisher) -> None:
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    body = b" " * (1024 * 1024 + 1)
    answer = client.post(
        "/webhooks/stripe",
        data=body,
        headers={"Stripe-Signature": sign(body, SECRET)},
        content_type="application/json",
        environ_overrides=chunked,
    )
    assert answer.status_code == 413
    assert publisher.events == []


def test_unconfirmed_event_is_answered_503_with_retry_after(client: FlaskClient, publisher: RecordingPublisher) -> None:
    publisher.error = PublishUnconfirmedError("broker frozen")
    answer = post(client, completed())
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json is not None
    assert "broker frozen" in ready.json["checks"]["broker"]


def test_metrics_and_openapi_are_served(client: FlaskClient) -> None:
    post(client, completed())
    assert b'clozit_webhook_requests_total{outcome="confirmed"}' in client.get("/metrics").data
    contract = client.get("/openapi.json").json
    assert contract is not None
    assert contract["openapi"] == "3.1.0"
    assert "/webhooks/stripe" in contract["paths"]


def test_request_id_is_kept_or_generated(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "evil id"}).headers["X-Request-ID"].startswith("req_")


@pytest.mark.parametrize("text", [rb"\u0000", rb"\ud800", rb"\udfff\ud800"])
def test_unstorable_text_is_published_exactly(client: FlaskClient, publisher: RecordingPublisher, text: bytes) -> None:
    session = checkout_session("chk_@", customer_details={"name": "Zo@e"})
    body = to_bytes(stripe_event("checkout.session.completed", session)).replace(b"@", text)
    assert post(client, body).status_code == 200
    (event,) = publisher.events
    assert (event.body, event.correlation_id) == (body, "chk_")
    assert event.object["customer_details"]["name"] == "Zoe"
