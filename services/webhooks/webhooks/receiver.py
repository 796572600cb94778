"""The steps for every webhook, in middleware and route: verify, publish the exact bytes, wait for the confirm."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from events.errors import PublishUnconfirmedError
from events.messaging.event import Event
from events.messaging.publisher import Publisher
from events.observability import tracing
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from events.web.problems import Problem
from events.web.requests import MAX_BODY_BYTES
from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from webhooks.config import Config
from webhooks.verification import check_header, verify_event

RECEIVED = Counter("clozit_webhook_requests_total", "Webhook requests by outcome", ["outcome"])
from_zero(RECEIVED, ["confirmed", "unconfirmed", "bad-signature", "bad-event", "wrong-livemode", "thin-event"])
_CONFIRMED = RECEIVED.labels("confirmed")  # looked up once

log = get_logger(__name__)


@dataclass(frozen=True)
class Receiver:
    """The receiver of Stripe's events, with the settings and the publisher of this process."""

    config: Config
    broker: Publisher

    def receive(self, signature: str, read_body: Callable[[], bytes]) -> Event:
        """Verify and publish an event. Return it once the broker has confirmed it.

        `signature` is the Stripe-Signature header. Raises `RejectedEventError`, `PublishUnconfirmedError`, or
        `Problem` for a body that is too large.
        """
        check_header(signature)  # before the body is read: strangers may send it slowly, or never
        body = read_body()
        if len(body) >= MAX_BODY_BYTES:  # a chunked body does not state its length: it was cut off here
            detail = "The body is larger than 1 MiB. Send only Stripe's events."
            raise Problem(413, "request-entity-too-large", detail)
        event = verify_event(body, signature, self.config.webhook_secrets, livemode=self.config.livemode)
        with tracing.span(f"publish {event.routing_key}", SpanKind.PRODUCER, parent=event.headers.get(tracing.HEADER)):
            if carried := tracing.carrier():
                event = replace(event, headers={**event.headers, **carried})
            try:
                self.broker.wait(self.broker.publish(event))
            except PublishUnconfirmedError as error:
                RECEIVED.labels("unconfirmed").inc()
                log.error("event not confirmed by the broker", event_id=event.id, type=event.type, reason=str(error))
                raise
        _CONFIRMED.inc()
        return event
