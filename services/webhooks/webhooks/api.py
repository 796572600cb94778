"""The route to which Stripe posts events: 200 once the broker has confirmed. After any other answer Stripe retries."""

from dataclasses import replace

import orjson
from events.errors import PublishUnconfirmedError
from events.messaging.publisher import Publisher
from events.observability import tracing
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from events.web.blueprint import Blueprint
from events.web.parameters import ignores_query
from events.web.problems import Problem
from events.web.requests import MAX_BODY_BYTES, current_request
from flask import Response
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from webhooks.config import Config
from webhooks.errors import RejectedEventError
from webhooks.verification import check_header, verify_event

RECEIVED = Counter("clozit_webhook_requests_total", "Webhook requests by outcome", ["outcome"])
from_zero(RECEIVED, ["confirmed", "unconfirmed", "bad-signature", "bad-event"])
_CONFIRMED = RECEIVED.labels("confirmed")  # looked up once

log = get_logger(__name__)


def create_blueprint(config: Config, broker: Publisher) -> Blueprint:
    """Return the service's only route, which publishes with `broker`."""
    blueprint = Blueprint("webhooks", __name__, description="Stripe posts its events here.")

    @blueprint.route("/webhooks/stripe", methods=["POST"])
    @blueprint.response(200)
    @ignores_query  # a shop's address at Stripe may have one, and a refused event would wait for three days
    def receive() -> Response:
        """Verify an event and publish its exact bytes. Answer 200 only once the broker has confirmed it.

        After any other answer Stripe sends the event again: 4xx if it is rejected, 503 without the broker's confirm.
        """
        request = current_request()
        signature = request.headers.get("Stripe-Signature", "")
        try:
            check_header(signature)  # before the body is read: strangers may send it slowly, or never
            body = request.get_data(cache=False)
            if len(body) >= MAX_BODY_BYTES:  # a chunked body does not state its length: it was cut off here
                detail = "The body is larger than 1 MiB. Send only Stripe's events."
                raise Problem(413, "request-entity-too-large", detail)
            event = verify_event(body, signature, config.webhook_secrets, livemode=config.livemode)
        except RejectedEventError as error:
            RECEIVED.labels(error.reason).inc()
            log.warning("webhook rejected", reason=error.reason, detail=error.detail)
            raise
        try:
            with tracing.span(
                f"publish {event.routing_key}", SpanKind.PRODUCER, parent=event.headers.get(tracing.HEADER)
            ):
                if carried := tracing.carrier():
                    event = replace(event, headers={**event.headers, **carried})
                broker.wait(broker.publish(event))
        except PublishUnconfirmedError as error:
            RECEIVED.labels("unconfirmed").inc()
            log.error("event not confirmed by the broker", event_id=event.id, type=event.type, reason=str(error))
            raise
        _CONFIRMED.inc()
        return Response(orjson.dumps({"event_id": event.id}), content_type="application/json")

    return blueprint
