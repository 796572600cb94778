"""The network from which a request came, as reported by the proxies that the shop trusts.

Each proxy adds the address of its own client to the end of `X-Forwarded-For`. A client can send the header, too. So
the header is read from its end, and only as far as trusted proxies have written it.
"""

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX = 64  # bits: providers assign each customer at least this network, and it has 2^64 addresses
WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")  # some proxies add the port


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks in a comma-separated text. Raises `ValueError` for any other text."""
    try:
        return tuple(ipaddress.ip_network(entry.strip()) for entry in text.split(",") if entry.strip())
    except ValueError as error:
        raise ValueError(f"{error}. Use networks such as 10.0.0.0/8, separated by commas.") from error


def client_network(remote: str | None, forwarded_for: str, trusted: Sequence[Network]) -> str | None:
    """Return the client's IPv4 address or IPv6 network (/64); None if the connection has no IP address.

    `remote` is the address of the connection. If `forwarded_for` has only trusted proxies, its first address counts.
    """
    address = _parse(remote or "")
    for text in reversed(forwarded_for.split(",")):
        if address is None or not any(address in network for network in trusted):
            break
        forwarded = _parse(text.strip())
        if forwarded is None:
            break
        address = forwarded
    if address is None:
        return None
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


def _parse(text: str) -> Address | None:
    if matched := WITH_PORT.fullmatch(text):
        text = matched[1] or matched[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
