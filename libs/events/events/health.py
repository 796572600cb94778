"""`python -m events.health`: a container's health check. Exits 0 when the process here can do its work.

Asks /readyz on METRICS_PORT (a worker) or PORT (a web process). The standard library alone: it runs every few seconds.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

PATIENCE = 4.0  # seconds


def problem(port: int) -> str | None:
    """Why the process that listens on this port is not ready; None when it is."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return None if answer.status == 200 else answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return f"nothing answers on port {port}: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(problem(int(os.environ.get("METRICS_PORT") or os.environ["PORT"])))
