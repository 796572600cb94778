"""Limit (c): the same web server and framework, the body read and answered, nothing verified or published."""

import sys

from events.cli import WEB_THREADS
from flask import Flask, request


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/webhooks/stripe")
    def receive() -> dict[str, str]:
        request.get_data(cache=False)
        return {"event_id": "evt"}

    return app


if __name__ == "__main__":
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "bench.ingest.bare:create_app",
        factory=True,
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        workers=int(sys.argv[2]),
        blocking_threads=WEB_THREADS,
        log_access=False,
    ).serve()
