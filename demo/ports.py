"""The demo's ports: fixed ones for people, free ones for tests."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
DEFAULTS = {
    "shop": 8000,
    "checkout": 8001,
    "webhooks": 8002,
    "orders": 8003,
    "inventory": 8004,
    "notifications": 8005,
    "stripe": 8010,
    "smtp": 8025,
}


class PortsInUseError(Exception):
    """Some of the demo's ports cannot be opened, mostly because other programs use them. `ports` has them by name."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.ports = ports
        listed = ", ".join(f"{port} ({name})" for name, port in ports.items())
        variables = " ".join(f"DEMO_{name.upper()}_PORT=…" for name in ports)
        super().__init__(f"These ports cannot be opened: {listed}. Stop the programs that use them, or set {variables}")


@dataclass(frozen=True)
class Ports:
    """Port numbers by name: one for each service, and for shop, stripe and smtp."""

    numbers: Mapping[str, int]

    @classmethod
    def from_environment(cls) -> "Ports":
        """Return the default ports, or those that the variables DEMO_<NAME>_PORT set.

        Raise `ValueError` for a number that is not valid or that two names have, and `PortsInUseError` with all ports
        that cannot be opened.
        """
        numbers = {name: _read_port(name, port) for name, port in DEFAULTS.items()}
        if len(set(numbers.values())) < len(numbers):
            raise ValueError("Two of the demo's ports are the same. Check the DEMO_…_PORT variables.")
        in_use = {name: port for name, port in numbers.items() if not _is_free(port)}
        if in_use:
            raise PortsInUseError(in_use)
        return cls(numbers)

    @classmethod
    def find_free(cls) -> "Ports":
        """Return ports that are free now, a different one for each name."""
        sockets = [socket.socket() for _ in DEFAULTS]
        try:
            for each in sockets:
                each.bind((HOST, 0))
            return cls({name: each.getsockname()[1] for name, each in zip(DEFAULTS, sockets, strict=True)})
        finally:
            for each in sockets:
                each.close()

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    def url(self, name: str) -> str:
        """Return the URL of a service, of the shop or of the fake Stripe on this machine."""
        return f"http://{HOST}:{self[name]}"


def _read_port(name: str, default: int) -> int:
    variable = f"DEMO_{name.upper()}_PORT"
    value = os.environ.get(variable, str(default))
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise ValueError(f"{variable}={value} is not a port. Set a number from 1 to 65535.")
    return int(value)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
