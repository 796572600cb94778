"""The route to which Stripe posts events: 200 once the broker has confirmed. After any other answer Stripe retries.

`middleware.py` answers most requests before they come here.
"""

from functools import partial

import orjson
from events.web.blueprint import Blueprint
from events.web.client_address import client_network
from events.web.parameters import ignores_query
from events.web.requests import current_request
from flask import Response

from webhooks.errors import RejectedEventError
from webhooks.middleware import FAILURE, PATH
from webhooks.receiver import RECEIVED, Receiver
from webhooks.rejections import RejectionLog


def create_blueprint(receiver: Receiver) -> Blueprint:
    """Return the blueprint with the service's only route, which passes events to `receiver`."""
    rejections = RejectionLog()
    blueprint = Blueprint("webhooks", __name__, description="Stripe posts its events here.")

    @blueprint.route(PATH, methods=["POST"])
    @blueprint.response(200)
    @ignores_query  # a shop's address at Stripe may have one, and a refused event would wait for three days
    def receive() -> Response:
        """Verify an event and publish its exact bytes. Answer 200 only once the broker has confirmed it.

        After any other answer Stripe sends the event again: 4xx if it is rejected, 503 without the broker's confirm.
        """
        request = current_request()
        try:
            if FAILURE in request.environ:
                raise request.environ.pop(FAILURE)  # nothing may keep it: its traceback holds the body
            read_body = partial(request.get_data, cache=False)
            event = receiver.receive(request.headers.get("Stripe-Signature", ""), read_body)
        except RejectedEventError as error:
            RECEIVED.labels(error.reason).inc()
            forwarded_for = request.headers.get("X-Forwarded-For", "")
            rejections.add(error, client_network(request.remote_addr, forwarded_for, receiver.config.trusted_proxies))
            raise
        return Response(orjson.dumps({"event_id": event.id}), content_type="application/json")

    return blueprint
