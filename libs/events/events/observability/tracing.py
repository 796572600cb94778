"""Tracing: one trace from the checkout request through Stripe and the broker to the e-mail.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing here has an effect. The context travels as W3C's `traceparent`: in HTTP
headers, message headers, and the rows of outbox and e-mails. Stripe passes no headers on, so it travels in the metadata
of Stripe's objects, too. https://www.w3.org/TR/trace-context/
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType

from flask import Flask
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADER = "traceparent"

_tracer = trace.get_tracer("clozit")
_propagator = TraceContextTextMapPropagator()


def configure(service: str) -> None:
    """Export this process's spans if an endpoint is set, including its calls by httpx and requests."""
    if not os.environ.get(ENDPOINT) or is_on():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "clozit"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument()
    RequestsInstrumentor().instrument()


def instrument(app: Flask) -> None:
    """Record each request of the application as a span, except those for health and metrics."""
    if is_on():
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, excluded_urls="healthz,readyz,metrics")


def is_on() -> bool:
    """Return True if spans are exported."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def carrier() -> dict[str, str]:
    """Return the current span as message headers or Stripe metadata; empty if there is none."""
    carried: dict[str, str] = {}
    if is_on():
        _propagator.inject(carried)
    return carried


def traceparent() -> str | None:
    """Return the current span as one text, for a column; None if there is none."""
    return carrier().get(HEADER)


def trace_id() -> str | None:
    """Return the current trace's id for the logs."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, str | None] = MappingProxyType({}),
    *,
    parent: str | None = None,
) -> AbstractContextManager[None]:
    """Record the block as a span, in the trace of `parent` (a traceparent) or else of the current span."""
    return _span(name, kind, attributes, parent) if is_on() else nullcontext()


@contextmanager
def _span(name: str, kind: SpanKind, attributes: Mapping[str, str | None], parent: str | None) -> Iterator[None]:
    context: Context | None = _propagator.extract({HEADER: parent}) if parent else None
    known = {attribute: value for attribute, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(name, context, kind, attributes=known):
        yield
