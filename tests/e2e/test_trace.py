"""One purchase is one trace, from the customer's request to the e-mail, although Stripe passes on no trace."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from events.testing import http
from events.testing.waiting import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from demo.scenarios.run import ScenarioRun

from .processes import installation

EXPORT_INTERVAL_MS = 100
STRANGERS_TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace_id: str


class Collector(ThreadingHTTPServer):
    """An OpenTelemetry collector that keeps all spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ExportHandler)
        self.spans: list[Span] = []

    def add(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            service = attributes["service.name"]
            for scope in resource.scope_spans:
                self.spans += [Span(service, each.name, each.trace_id.hex()) for each in scope.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class ExportHandler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.add(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Log nothing: a line per request would hide the test's output."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_purchase_is_one_trace(
    tmp_path: Path, new_postgres_url: Callable[[], str], broker_url: str, collector: Collector
) -> None:
    traced = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_INTERVAL_MS),
    }
    with installation(tmp_path, new_postgres_url, broker_url, settings=traced) as installed:
        run = ScenarioRun(installed.system, "traced")
        lines = [{"sku": "TEE-ORG-WHT-M", "quantity": 1}]
        bought = http.post(
            f"{installed.system.urls['checkout']}/checkout/sessions",
            json={"items": lines, "customer_email": run.email},
            headers={"traceparent": f"00-{STRANGERS_TRACE}-00f067aa0ba902b7-01", "tracestate": "stranger=1"},
        ).json()
        installed.stripe.pay(bought["session_id"], "card", run.email)
        run.check("e-mails", ["order_confirmed"], run.customer_emails)
        wait_until(lambda: collector.named("send order_confirmed"), 20, "the e-mail's span")
    [sent] = collector.named("send order_confirmed")
    assert STRANGERS_TRACE not in {span.trace_id for span in collector.spans}
    spans = {(span.service, span.name) for span in collector.spans if span.trace_id == sent.trace_id}
    assert spans >= {
        ("checkout", "POST /checkout/sessions"),
        ("inventory", "POST /reservations"),
        ("webhooks", "publish stripe.checkout.session.completed"),
        ("orders", "handle checkout.checkout.started"),
        ("orders", "handle stripe.checkout.session.completed"),
        ("inventory", "handle stripe.checkout.session.completed"),
        ("notifications", "handle orders.order.paid"),
        ("notifications", "send order_confirmed"),
    }
