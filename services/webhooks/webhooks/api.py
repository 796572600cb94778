"""POST /webhooks/stripe: 200 once the broker has confirmed, anything else makes Stripe try again."""

from dataclasses import replace

import orjson
from events.errors import PublishUnconfirmedError
from events.messaging.publisher import Publisher
from events.observability import tracing
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from events.web.problems import Problem
from events.web.requests import MAX_BODY
from flask import Response, request
from flask_smorest import Blueprint
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from webhooks.config import Config
from webhooks.verification import verified

RETRY_AFTER = 5  # seconds; Stripe keeps its own schedule, other senders may listen

RECEIVED = Counter("clozit_webhook_requests_total", "Webhook requests by outcome", ["outcome"])
from_zero(RECEIVED, ["confirmed", "unconfirmed", "bad-signature", "bad-event"])
_CONFIRMED = RECEIVED.labels("confirmed")  # looked up once

log = get_logger(__name__)


def blueprint(config: Config, publisher: Publisher) -> Blueprint:
    """The one route of this service."""
    routes = Blueprint("webhooks", __name__, description="Stripe posts its events here")

    @routes.route("/webhooks/stripe", methods=["POST"])
    @routes.response(200)
    def receive() -> Response:
        body = request.get_data(cache=False)
        if len(body) >= MAX_BODY:  # a chunked body bears no length: it was cut off there
            raise Problem(413, "request-entity-too-large", "Stripe's events are smaller than one mebibyte.")
        try:
            event = verified(
                body,
                request.headers.get("Stripe-Signature", ""),
                config.webhook_secrets,
                livemode=config.livemode,
            )
        except Problem as problem:
            RECEIVED.labels(problem.kind).inc()
            log.warning("webhook refused", problem=problem.kind, detail=problem.detail)
            raise
        try:
            with tracing.span(
                f"publish {event.routing_key}", SpanKind.PRODUCER, parent=event.headers.get(tracing.HEADER)
            ):
                if carried := tracing.carrier():
                    event = replace(event, headers={**event.headers, **carried})
                publisher.wait(publisher.publish(event))
        except PublishUnconfirmedError as doubt:
            RECEIVED.labels("unconfirmed").inc()
            log.error("event not confirmed by the broker", event_id=event.id, type=event.type, reason=str(doubt))
            raise Problem(
                503,
                "broker-unavailable",
                "The event could not be stored. Send it again.",
                headers={"Retry-After": str(RETRY_AFTER)},
            ) from doubt
        _CONFIRMED.inc()
        return Response(orjson.dumps({"event_id": event.id}), content_type="application/json")

    return routes
