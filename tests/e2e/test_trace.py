"""One purchase is one trace, from the customer's request to her e-mail, though Stripe stands in the middle of it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from events.testing.servers import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from demo.scenarios.run import ScenarioRun

from .processes import fleet


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: str


class Collector(ThreadingHTTPServer):
    """Takes spans as an OpenTelemetry collector does, by HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Export)
        self.spans: list[Span] = []

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Span(named["service.name"], one.name, one.trace_id.hex()) for one in scope.spans]


class Export(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


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
        "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds
    }
    with fleet(tmp_path, new_postgres_url, broker_url, settings=traced) as (system, _):
        play = ScenarioRun(system, "traced")
        bought = play.start_checkout({"TEE-ORG-WHT-M": 1})
        system.stripe.pay(bought["session_id"], "card", play.email)
        play.check("e-mails", ["order_confirmed"], play.customer_emails)
        wait_until(lambda: _named(collector, "send order_confirmed"), 20, "the e-mail's span")
    [mail] = _named(collector, "send order_confirmed")
    whole = {(span.service, span.name) for span in collector.spans if span.trace == mail.trace}
    assert whole >= {
        ("checkout", "POST /checkout/sessions"),
        ("webhooks", "publish stripe.checkout.session.completed"),
        ("orders", "handle checkout.checkout.started"),
        ("orders", "handle stripe.checkout.session.completed"),
        ("inventory", "handle stripe.checkout.session.completed"),
        ("notifications", "handle orders.order.paid"),
        ("notifications", "send order_confirmed"),
    }


def _named(collector: Collector, name: str) -> list[Span]:
    return [span for span in collector.spans if span.name == name]
