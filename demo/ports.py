"""The demo's ports: the documented ones, or free ones."""

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


class Taken(Exception):  # noqa: N818 - what the ports are
    """Ports that somebody else listens on."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self.names = names
        listed = ", ".join(f"{port} ({name})" for name, port in names.items())
        hints = " ".join(f"DEMO_{name.upper()}_PORT=…" for name in names)
        super().__init__(f"already in use on this machine: port {listed}. Stop what listens there, or set {hints}")


@dataclass(frozen=True)
class Ports:
    numbers: Mapping[str, int]

    @classmethod
    def documented(cls) -> "Ports":
        """8000 and its neighbours, or as DEMO_<NAME>_PORT says. Raises `Taken` naming every port that is not free."""
        wanted = {name: _wanted(name, port) for name, port in DEFAULTS.items()}
        if len(set(wanted.values())) < len(wanted):
            raise ValueError("two of the demo's ports are the same: look at DEMO_…_PORT")
        taken = {name: port for name, port in wanted.items() if not _is_free(port)}
        if taken:
            raise Taken(taken)
        return cls(wanted)

    @classmethod
    def free(cls) -> "Ports":
        """Any free ones, all different."""
        sockets = [socket.socket() for _ in DEFAULTS]
        try:
            for each in sockets:
                each.bind((HOST, 0))
            return cls({name: each.getsockname()[1] for name, each in zip(DEFAULTS, sockets, strict=True)})
        finally:
            for each in sockets:
                each.close()

    def of(self, name: str) -> int:
        return self.numbers[name]

    def url(self, name: str) -> str:
        return f"http://{HOST}:{self.of(name)}"

    @property
    def stripe(self) -> int:
        return self.of("stripe")

    @property
    def smtp(self) -> int:
        return self.of("smtp")


def _wanted(name: str, port: int) -> int:
    variable = f"DEMO_{name.upper()}_PORT"
    given = os.environ.get(variable, str(port))
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise ValueError(f"{variable}={given} is not a port: give a number from 1 to 65535")
    return int(given)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
