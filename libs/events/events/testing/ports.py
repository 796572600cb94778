"""Free ports for the servers of tests."""

import random
import socket

PORTS = range(20_000, 32_768)  # below the ports that the kernel gives to outgoing connections (ip_local_port_range)


def free_port() -> int:
    """Return a port of the loopback address on which no process listens."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
