"""Peer (a): the usual first solution, well written: Flask, the SDK's construct_event, a confirm per message.

Each thread keeps its connection and producer. It uses the SDK and kombu as their documentation shows.
"""

import os
import threading
from typing import Any

import stripe
from flask import Flask, request
from kombu import Connection, Exchange, Producer

CONFIRM_TIMEOUT_S = 3.0  # as in Clozit's ingest


def create_app() -> Flask:
    """Return the application, which answers a post after the broker has confirmed its event."""
    app = Flask(__name__)
    secret, broker_url = os.environ["STRIPE_WEBHOOK_SECRET"], os.environ["BROKER_URL"]
    local = threading.local()

    def producer() -> Any:
        if not hasattr(local, "producer"):
            connection = Connection(broker_url, transport_options={"confirm_publish": True})
            exchange = Exchange("events", "topic", durable=True, no_declare=True)
            local.producer = Producer(connection, exchange, auto_declare=False)
        return local.producer

    @app.post("/webhooks/stripe")
    def receive() -> tuple[dict[str, str], int]:
        body = request.get_data()
        try:
            event = stripe.Webhook.construct_event(body, request.headers.get("Stripe-Signature", ""), secret)
        except (ValueError, stripe.SignatureVerificationError):
            return {"error": "bad request"}, 400
        producer().publish(
            body,
            routing_key=f"stripe.{event.type}",
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            message_id=event.id,
            type=event.type,
            timestamp=event.created,
            retry=True,
            retry_policy={"max_retries": 3},
            confirm_timeout=CONFIRM_TIMEOUT_S,
        )
        return {"event_id": event.id}, 200

    return app
