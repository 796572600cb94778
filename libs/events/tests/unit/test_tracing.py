"""Spans and the trace context that messages carry."""

from collections.abc import Iterator

import pytest
from events.config import Common
from events.observability import tracing
from events.observability.tracing import HEADER
from events.web.app import create_app
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SERVICE = "service-token-0123"
CHECKOUT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Turn tracing on for this test and return the exporter of its spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_span_belongs_to_the_trace_of_its_parent(exported: InMemorySpanExporter) -> None:
    with tracing.span("handle", attributes={"clozit.checkout_id": "chk_1", "account": None}, parent=CHECKOUT):
        carried = tracing.carrier()

    (span,) = exported.get_finished_spans()
    assert trace.format_trace_id(span.context.trace_id) == CHECKOUT.split("-")[1]
    assert carried[HEADER].split("-")[1:3] == [CHECKOUT.split("-")[1], trace.format_span_id(span.context.span_id)]
    assert dict(span.attributes or {}) == {"clozit.checkout_id": "chk_1"}


@pytest.mark.parametrize("parent", [None, "", "nonsense", "00-0-0-01"])
def test_span_without_a_valid_parent_begins_a_trace(exported: InMemorySpanExporter, parent: str | None) -> None:
    with tracing.span("handle", parent=parent):
        pass

    (span,) = exported.get_finished_spans()
    assert span.parent is None


def test_failure_is_recorded_on_the_span_and_raised(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="defect"), tracing.span("handle"):
        raise ValueError("defect")

    (span,) = exported.get_finished_spans()
    assert not span.status.is_ok


@pytest.fixture
def client(exported: InMemorySpanExporter) -> FlaskClient:
    config = Common(service="carts", port=0, broker_url="memory://", service_token=SERVICE)
    blueprint = Blueprint("carts", "carts")
    blueprint.route("/carts")(lambda: "carts")
    return create_app(config, title="Carts", checks={}, blueprints=[blueprint]).test_client()


@pytest.mark.parametrize("token", [None, "Bearer", "Bearer another-token-0123", "Basic é"])
def test_strangers_context_is_only_linked(
    client: FlaskClient, exported: InMemorySpanExporter, token: str | None
) -> None:
    headers = {"traceparent": CHECKOUT, "tracestate": "vendor=1", "baggage": "a=1"}
    client.get("/carts", headers=headers | ({"Authorization": token} if token else {}))

    (span,) = exported.get_finished_spans()
    assert span.parent is None
    assert trace.format_trace_id(span.context.trace_id) != CHECKOUT.split("-")[1]
    assert not span.context.trace_state
    (link,) = span.links
    assert trace.format_trace_id(link.context.trace_id) == CHECKOUT.split("-")[1]


def test_service_continues_the_trace_of_another_one(client: FlaskClient, exported: InMemorySpanExporter) -> None:
    client.get("/carts", headers={"traceparent": CHECKOUT, "Authorization": f"Bearer {SERVICE}"})

    (span,) = exported.get_finished_spans()
    assert trace.format_trace_id(span.context.trace_id) == CHECKOUT.split("-")[1]


def test_strangers_nonsense_is_ignored(client: FlaskClient, exported: InMemorySpanExporter) -> None:
    assert client.get("/carts", headers={"traceparent": "00-0-0-01"}).status_code == 200

    (span,) = exported.get_finished_spans()
    assert (span.parent, len(span.links)) == (None, 0)


def test_context_is_empty_without_an_endpoint() -> None:
    with tracing.span("handle", parent=CHECKOUT):
        assert tracing.carrier() == {}
        assert tracing.trace_id() is None
