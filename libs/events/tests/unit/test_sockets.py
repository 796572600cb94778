"""Sockets are blocked in every unit suite, by the conftest.py in the root."""

import socket
from collections.abc import Callable

import pytest
from pytest_socket import SocketBlockedError


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
@pytest.mark.parametrize("call", [socket.create_server, socket.create_connection])
def test_socket_in_unit_test_is_blocked(call: Callable[..., object]) -> None:
    with pytest.raises(SocketBlockedError):
        call(("127.0.0.1", 0))
