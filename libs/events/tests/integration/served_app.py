"""An application for a web process of its own: `python served_app.py PORT HEALTH_PORT WORKERS`."""

import os
import sys
from dataclasses import dataclass

from events.config import Common, load_settings, port_setting, setting
from events.web import server
from events.web.app import create_app
from flask import Flask, request


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    service: str = "served"
    port: int = port_setting(8000)
    secret: str = setting("SERVED_SECRET", "A secret.", secret=True)


def create() -> Flask:
    app = create_app(load_settings(Config), title="Served", checks={}, blueprints=[])

    @app.get("/environ")
    def environ() -> dict[str, str]:
        return {name: repr(value) for name, value in request.environ.items()}

    @app.get("/process")
    def process() -> dict[str, int]:
        return {"pid": os.getpid()}

    @app.post("/body")
    def body() -> dict[str, int]:
        return {"bytes": len(request.get_data())}

    return app


if __name__ == "__main__":
    port, health_port, workers = map(int, sys.argv[1:])
    server.serve("served_app:create", port, health_port=health_port, workers=workers)
