"""A container's health check, `python -m events.web.probe`: exits 0 if the container's process can work.

Otherwise it prints the reason and exits 1. It asks /readyz on HEALTH_PORT or, if that is missing or 0, on the PORT of a
web process. It imports only the standard library, because it runs every few seconds.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 4.0  # shorter than the 5 s of Docker's health check, so that the reason is printed


def unready_reason(port: int) -> str | None:
    """Return why the process that listens on this port is not ready; None when it is ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return None if answer.status == 200 else answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return f"/readyz on port {port} gave no valid answer: {error}"
    finally:
        connection.close()


def readiness_port(environment: Mapping[str, str]) -> int:
    """Return the port of /readyz: HEALTH_PORT, or PORT if that is missing or 0. Raises `KeyError` without both."""
    return int(environment.get("HEALTH_PORT") or 0) or int(environment["PORT"])


if __name__ == "__main__":
    sys.exit(unready_reason(readiness_port(os.environ)))
