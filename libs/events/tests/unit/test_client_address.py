"""The client's address behind trusted proxies."""

import pytest
from events.web.client_address import client_network, parse_networks

TRUSTED = parse_networks("10.0.0.0/8, fd00::/8, 203.0.113.7")


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "network"),
    [
        ("198.51.100.1", "", "198.51.100.1"),
        ("198.51.100.1", "192.0.2.9", "198.51.100.1"),  # not a proxy of the shop: its header says nothing
        ("10.0.0.2", "192.0.2.9", "192.0.2.9"),
        ("10.0.0.2", "192.0.2.66, 192.0.2.9", "192.0.2.9"),  # the client itself has sent the first one
        ("10.0.0.2", "192.0.2.66, 192.0.2.9, 203.0.113.7, 10.1.1.1", "192.0.2.9"),
        ("10.0.0.2", "192.0.2.9:4711", "192.0.2.9"),
        ("10.0.0.2", "[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("10.0.0.2", "2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.2", "::ffff:192.0.2.9", "192.0.2.9"),
        ("fd00::1", "2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("10.0.0.2", "unknown", "10.0.0.2"),
        ("10.0.0.2", "192.0.2.9, <script>", "10.0.0.2"),
        ("10.0.0.2", "10.0.0.9", "10.0.0.9"),
        ("", "192.0.2.9", None),
        (None, "", None),
    ],
)
def test_network_is_the_last_one_not_trusted(remote: str | None, forwarded_for: str, network: str | None) -> None:
    assert client_network(remote, forwarded_for, TRUSTED) == network


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33"])
def test_other_texts_are_no_networks(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("/")[0]):
        parse_networks(text)
