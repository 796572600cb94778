from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from notifications.kinds import KINDS
from notifications.message import address, compose, message_id, sender_address
from notifications.rendering import render
from notifications.samples import SHOP, sample

SENDER = "Clozit <orders@shop.example>"
SENT_AT = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def composed(kind: str = "order_confirmed", locale: str = "de", recipient: str = "ada@example.org") -> Any:
    rendered = render(kind, locale, sample(kind), SHOP)
    made = compose(rendered, sender=SENDER, recipient=recipient, message_id="<a.b@shop.example>", sent_at=SENT_AT)
    return made, message_from_bytes(made.as_bytes(), policy=policy.default)


def test_headers_are_complete() -> None:
    _, message = composed()
    assert {name: str(value) for name, value in message.items() if not name.startswith("Content-Type")} == {
        "From": SENDER,
        "To": "ada@example.org",
        "Subject": "Ihre Bestellung CLZ-10482 ist bestätigt",
        "Date": "Mon, 04 May 2026 10:00:00 +0000",
        "Message-ID": "<a.b@shop.example>",
        "Auto-Submitted": "auto-generated",
        "Content-Language": "de",
        "MIME-Version": "1.0",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_parsed_parts_equal_the_rendered_ones(kind: str) -> None:
    rendered = render(kind, "de", sample(kind), SHOP)
    made, message = composed(kind)
    parts = [part.get_content() for part in message.iter_parts()]
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.replace("\r\n", "\n").strip() for part in parts] == [rendered.text.strip(), rendered.html.strip()]
    assert max(map(len, made.as_bytes().split(b"\r\n"))) <= 78
    assert made.as_bytes().isascii()


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.org\r\nBcc: all@example.org",
        "ada@example.org\nX: y",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        "ada@example.org>",
        "ada",
        "@example.org",
        "ada@",
        "ada@example..org",
        "ada@example.org\x00",
        "a b@example.org",
        "",
    ],
)
def test_recipient_is_exactly_one_plain_address(recipient: str) -> None:
    with pytest.raises(ValueError, match="one plain e-mail address"):
        composed(recipient=recipient)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("ada+shop@example.org", "ada+shop@example.org"),
        ("o'neill@example.org", "o'neill@example.org"),
        ("ada@müller.example", "ada@xn--mller-kva.example"),
    ],
)
def test_addresss_domain_is_in_ascii(given: str, used: str) -> None:
    assert address(given).addr_spec == used


def test_sender_can_have_a_name() -> None:
    assert (sender_address(SENDER).display_name, sender_address(SENDER).domain) == ("Clozit", "shop.example")
    with pytest.raises(ValueError, match="address"):
        sender_address("Clozit")


def test_message_id_is_the_same_for_one_occasion_only() -> None:
    made = message_id("order_confirmed", "chk_1", "ord_1", SENDER)
    assert made == message_id("order_confirmed", "chk_1", "ord_1", SENDER)
    assert made == "<order_confirmed.chk_1.ord_1@shop.example>"
    assert message_id("staff_stock_low", None, "evt_1", SENDER) == "<staff_stock_low.evt_1@shop.example>"
    others = [
        ("payment_failed", "chk_1", "ord_1"),
        ("order_confirmed", "chk_2", "ord_1"),
        ("order_confirmed", "chk_1", "ord_1/eml_2"),
    ]
    assert len({made, *(message_id(*other, SENDER) for other in others)}) == 4


@pytest.mark.parametrize("key", ["ord_1>\r\nBcc: x", "ord_1@evil", "x" * 300, "ord 1", "ord_ü", ""])
def test_key_with_characters_not_allowed_in_an_id_is_hashed(key: str) -> None:
    assert message_id("order_confirmed", "chk_1", key, SENDER).isascii()
    assert (
        message_id("order_confirmed", "chk_1", key, SENDER)[1:-1]
        .replace("@", ".")
        .replace("_", "")
        .replace(".", "")
        .isalnum()
    )
    assert len(message_id("order_confirmed", "chk_1", key, SENDER)) < 80
