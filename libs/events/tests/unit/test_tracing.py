"""Spans and the trace context that messages carry."""

from collections.abc import Iterator

import pytest
from events.observability import tracing
from events.observability.tracing import HEADER
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

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


def test_context_is_empty_without_an_endpoint() -> None:
    with tracing.span("handle", parent=CHECKOUT):
        assert tracing.carrier() == {}
        assert tracing.trace_id() is None
