"""Traces: from the checkout's request through Stripe and the broker to the e-mail, in one.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT names a collector; then nothing here does anything. The context travels as W3C's
`traceparent`: in HTTP headers, in messages' headers, in the rows of outbox and e-mails, and, since Stripe carries no
headers of ours, in the metadata of what is made there. https://www.w3.org/TR/trace-context/
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
    """Export this process's spans, where an endpoint is set; the libraries' calls to others are spans too."""
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
    """The application's requests are spans, its health and metrics aside."""
    if is_on():
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, excluded_urls="healthz,readyz,metrics")


def is_on() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def carrier() -> dict[str, str]:
    """The current span as headers or metadata to send along; empty where there is none."""
    carried: dict[str, str] = {}
    if is_on():
        _propagator.inject(carried)
    return carried


def traceparent() -> str | None:
    """The current span as one value, for a row."""
    return carrier().get(HEADER)


def trace_id() -> str | None:
    """The current trace, as logs name it."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, str | None] = MappingProxyType({}),
    *,
    parent: str | None = None,
) -> AbstractContextManager[None]:
    """What happens within is a span, of the trace that `parent`, a traceparent, or else the current span belongs to."""
    return _span(name, kind, attributes, parent) if is_on() else nullcontext()


@contextmanager
def _span(name: str, kind: SpanKind, attributes: Mapping[str, str | None], parent: str | None) -> Iterator[None]:
    context: Context | None = _propagator.extract({HEADER: parent}) if parent else None
    known = {attribute: value for attribute, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(name, context, kind, attributes=known):
        yield
