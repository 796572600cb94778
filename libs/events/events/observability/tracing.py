"""Tracing: one trace from the checkout request through Stripe and the broker to the e-mail.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing here has an effect. The context travels as W3C's `traceparent`: in HTTP
headers between services, message headers, and the rows of outbox and e-mails. Stripe passes no headers on, so
the context travels in the metadata of Stripe's objects, too. https://www.w3.org/TR/trace-context/
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING

from flask import Flask
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADER = "traceparent"
CALLER = "clozit.caller"  # in a request's environ: the traceparent that it does not continue

_tracer = trace.get_tracer("clozit")
_propagator = TraceContextTextMapPropagator()


def configure(service: str) -> None:
    """Export this process's spans if an endpoint is set, including spans of its calls by httpx and requests."""
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


def instrument(app: Flask, is_trusted: "Callable[[WSGIEnvironment], bool]") -> None:
    """Record each request of the application as a span, except those for health and metrics.

    Only a request for which `is_trusted` returns True continues the trace of its caller. Any other request begins
    a new trace with a link to the caller's: strangers must not decide what is sampled, nor add to traces of the shop.
    """
    if is_on():
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, excluded_urls="healthz,readyz,metrics", request_hook=_link_to_caller)
        app.wsgi_app = _without_strangers_context(app.wsgi_app, is_trusted)  # type: ignore[assignment,method-assign]


def _without_strangers_context(
    wsgi: "WSGIApplication", is_trusted: "Callable[[WSGIEnvironment], bool]"
) -> "WSGIApplication":
    headers = {f"HTTP_{name.upper().replace('-', '_')}" for name in propagate.get_global_textmap().fields}

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not is_trusted(environ):
            environ[CALLER] = environ.get("HTTP_TRACEPARENT")
            for header in headers:
                environ.pop(header, None)
        return wsgi(environ, start_response)

    return serve


def _link_to_caller(span: Span, environ: "WSGIEnvironment") -> None:
    if caller := environ.get(CALLER):
        context = trace.get_current_span(_propagator.extract({HEADER: caller})).get_span_context()
        if context.is_valid:
            span.add_link(context)


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
    """Return the current trace's id for the logs; None without a span."""
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
