"""Limit (c): the same web server and framework, which read and answer a post but verify and publish nothing."""

import sys

from events.web import server
from flask import Flask, request


def create_app() -> Flask:
    """Return the application, which answers each post and drops it."""
    app = Flask(__name__)

    @app.post("/webhooks/stripe")
    def receive() -> dict[str, str]:
        request.get_data(cache=False)
        return {"event_id": "evt"}

    return app


if __name__ == "__main__":
    server.serve("bench.ingest.bare:create_app", int(sys.argv[1]), workers=int(sys.argv[2]), pin=True)
