"""Reminders of abandoned carts: only with consent, none after a purchase, one per address and week, and no more."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from events.messaging.event import own_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notifications.app import create_app
from notifications.models import UnsubscribedAddress
from notifications.reminders import REMINDER_INTERVAL
from sqlalchemy import select

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}
ONE_CLICK = {"data": "List-Unsubscribe=One-Click", "content_type": "application/x-www-form-urlencoded"}


def abandon(service: Any, number: int, **changes: Any) -> str:
    """Deliver an expired cart, a different one for each number."""
    ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
    return str(service.receive("orders.order.expired", **{**ids, **changes}))


def send_reminders(service: Any) -> int:
    """Send the reminders that are due after their delay."""
    service.clock.advance(hours=2)
    return int(service.sender.run())


def reasons(service: Any) -> list[str | None]:
    return [email.error for email in service.emails() if email.kind == "abandoned_cart"]


@pytest.mark.parametrize(
    ("mode", "consent", "sent"),
    [
        ("consent", "opt_in", 1),
        ("consent", "opt_out", 0),
        ("consent", None, 0),
        ("consent", "a-new-word", 0),
        ("all", "opt_in", 1),
        ("all", "opt_out", 0),
        ("all", None, 1),
        ("off", "opt_in", 0),
    ],
)
def test_reminder_needs_consent_or_the_shops_decision(
    sqlite_service: Any, mode: str, consent: str | None, sent: int
) -> None:
    sqlite_service.use(abandoned_cart_emails=mode)
    outcome = abandon(sqlite_service, 1, promotions_consent=consent)
    assert outcome == ("done" if sent else "ignored")
    assert send_reminders(sqlite_service) == sent


@pytest.mark.parametrize("missing", [{"public_url": ""}, {"unsubscribe_secret": ""}])
def test_reminder_without_an_unsubscribe_link_is_not_sent(sqlite_service: Any, missing: dict[str, str]) -> None:
    abandon(sqlite_service, 1)
    sqlite_service.use(**missing)
    assert abandon(sqlite_service, 2) == "ignored"
    assert send_reminders(sqlite_service) == 0
    assert "PUBLIC_URL and UNSUBSCRIBE_SECRET" in str(reasons(sqlite_service))


@pytest.mark.parametrize("purchase", ["orders.order.paid", "orders.payment.pending", "orders.review.opened"])
@pytest.mark.parametrize("is_first", [True, False])
def test_customer_who_bought_in_another_tab_gets_no_reminder(service: Any, purchase: str, is_first: bool) -> None:
    bought = {"checkout_id": "chk_9", "order_id": "ord_9", "customer_email": "Ada@Example.org"}
    events = [
        service.event(purchase, occurred_at=service.clock.now.isoformat(), **bought),
        service.event("orders.order.expired", checkout_id="chk_1", order_id="ord_1"),
    ]
    service.deliver(*(events if is_first else reversed(events)))
    send_reminders(service)
    assert reasons(service) == ["the customer has bought"]


def test_purchase_long_ago_does_not_stop_a_reminder(sqlite_service: Any) -> None:
    long_ago = sqlite_service.clock.now - REMINDER_INTERVAL * 2
    sqlite_service.receive("orders.order.paid", checkout_id="chk_9", occurred_at=long_ago.isoformat())
    abandon(sqlite_service, 1)
    send_reminders(sqlite_service)
    assert reasons(sqlite_service) == [None]


def test_thirty_carts_of_one_address_send_one_reminder_a_week(sqlite_service: Any) -> None:
    for number in range(30):
        abandon(sqlite_service, number, customer_email=("ada@example.org", "ADA@example.org ")[number % 2].strip())
    assert send_reminders(sqlite_service) == 1
    assert sorted(map(str, reasons(sqlite_service))) == ["None"] + ["the address had a reminder within 7 days"] * 29
    sqlite_service.clock.advance(days=6)
    abandon(sqlite_service, 30)
    assert send_reminders(sqlite_service) == 0
    sqlite_service.clock.advance(days=1)
    abandon(sqlite_service, 31)
    abandon(sqlite_service, 32, customer_email="other@example.org")
    assert send_reminders(sqlite_service) == 2


def test_two_senders_at_once_send_one_reminder(service: Any) -> None:
    for number in range(40):
        abandon(service, number)
    service.clock.advance(hours=2)
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(lambda sender: sender.run(), [service.sender, service.new_sender()])) == 1


def test_deferred_reminder_is_retried(sqlite_service: Any) -> None:
    sqlite_service.server.answers["ada@example.org"] = "451 4.7.1 greylisted"
    abandon(sqlite_service, 1)
    assert send_reminders(sqlite_service) == 0
    sqlite_service.server.answers.clear()
    assert send_reminders(sqlite_service) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["abandon", "buy", "send", "days"]), st.sampled_from(["a", "b"]), st.integers(1, 9)),
        max_size=25,
    )
)
def test_no_address_gets_two_reminders_in_a_week(make_sqlite_service: Any, steps: Any) -> None:
    service = make_sqlite_service()
    reminders: list[tuple[str, datetime]] = []
    for number, (act, who, days) in enumerate(steps):
        address = {"customer_email": f"{who}@example.org"}
        if act == "abandon":
            abandon(service, number, **address)
        elif act == "buy":
            service.receive_paid(number, **address, occurred_at=service.clock.now.isoformat())
        elif act == "days":
            service.clock.advance(days=days)
        before = len(service.server.messages)
        service.sender.run()
        new = [mail for mail in service.server.messages[before:] if "List-Unsubscribe" in mail]
        reminders.extend((mail["To"], service.clock.now) for mail in new)
    for to, at in reminders:
        others = [other for other in reminders if other[0] == to and other[1] != at]
        assert all(abs(other[1] - at) >= REMINDER_INTERVAL for other in others)
        assert sum(other == (to, at) for other in reminders) == 1


# The link


def remind_and_read_link(service: Any) -> tuple[Any, str]:
    """Send a reminder and return its message and the path of its link."""
    abandon(service, 1)
    assert send_reminders(service) == 1
    (message,) = service.server.messages
    link = re.fullmatch(r"<(https://shop\.example/unsubscribe/[\w=-]+)>", message["List-Unsubscribe"])
    assert link
    return message, urlsplit(link[1]).path


def browse(service: Any) -> Any:
    return create_app(service.config, database=service.database).test_client()


def test_reminder_has_one_click_headers_and_a_link(sqlite_service: Any) -> None:
    message, path = remind_and_read_link(sqlite_service)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "ada" not in path
    for kind in ("plain", "html"):
        assert f"https://shop.example{path}" in message.get_body((kind,)).get_content().replace("=\n", "")


def test_headers_reach_the_server_unencoded(sqlite_service: Any) -> None:
    sqlite_service.use(public_url="https://a-very-long-name-of-a-shop.with-a-long-domain.example/and/a/path")
    abandon(sqlite_service, 1)
    send_reminders(sqlite_service)
    raw = sqlite_service.server.contents[0]
    header = raw.split(b"\r\nList-Unsubscribe:")[1].split(b"\r\nList-Unsubscribe-Post:")[0]
    assert b"=?" not in header
    assert b"".join(header.split()).startswith(b"<https://a-very-long-name")


def test_other_mails_have_no_unsubscribe_header(sqlite_service: Any) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    assert "List-Unsubscribe" not in sqlite_service.server.messages[0]


@pytest.mark.parametrize(
    "body", [ONE_CLICK, {"data": {"List-Unsubscribe": "One-Click"}, "content_type": "multipart/form-data"}, {}]
)
def test_one_click_unsubscribes_for_good(service: Any, body: Any) -> None:
    _, path = remind_and_read_link(service)
    client = browse(service)
    for _ in range(2):
        answer = client.post(path, **body)
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        assert "You are unsubscribed" in answer.text
    service.clock.advance(days=30)
    abandon(service, 2, customer_email="ADA@example.org")
    assert send_reminders(service) == 0
    assert reasons(service) == [None, "the address is unsubscribed"]
    service.receive_paid(3, customer_email="ada@example.org")
    assert service.sender.run() == 1


def test_page_asks_in_the_readers_language_and_changes_nothing(sqlite_service: Any) -> None:
    _, path = remind_and_read_link(sqlite_service)
    client = browse(sqlite_service)
    for language, button in (("de-AT,de;q=0.9", "Abbestellen"), ("ja", "配信を停止する"), ("xx", "Unsubscribe")):
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.status_code == 200
        assert f'<button type="submit">{button}</button>' in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    with sqlite_service.database.read() as session:
        assert session.scalars(select(UnsubscribedAddress)).all() == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_forged_link_is_not_accepted(sqlite_service: Any, method: str) -> None:
    _, path = remind_and_read_link(sqlite_service)
    client = browse(sqlite_service)
    last = "A" if path[-2] != "A" else "B"
    for forged in (
        f"{path[:-2]}{last}{path[-1]}",
        f"{path[:-8]}",
        "/unsubscribe/x",
        "/unsubscribe/%C3%A9",
        "/unsubscribe/====",
    ):
        answer = getattr(client, method)(forged)
        assert (answer.status_code, answer.mimetype) == (404, "text/html"), forged
    with sqlite_service.database.read() as session:
        assert session.scalars(select(UnsubscribedAddress)).all() == []


def test_list_outlives_the_erasure_and_has_no_address(sqlite_service: Any) -> None:
    _, path = remind_and_read_link(sqlite_service)
    browse(sqlite_service).post(path, **ONE_CLICK)
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": sqlite_service.clock.now}
    sqlite_service.deliver(own_event("orders.customer.erased", data, correlation_id="chk_1"))
    with sqlite_service.database.read() as session:
        (row,) = session.scalars(select(UnsubscribedAddress)).all()
    assert re.fullmatch("[0-9a-f]{64}", row.address_key)
    abandon(sqlite_service, 2)
    assert send_reminders(sqlite_service) == 0


def test_resend_of_a_reminder_respects_the_list(sqlite_service: Any) -> None:
    _, path = remind_and_read_link(sqlite_service)
    client = browse(sqlite_service)
    resend = f"/notifications/{sqlite_service.emails()[0].id}/resend"
    assert client.post(resend, headers=AUTHORIZED | {"Idempotency-Key": "key-1"}).status_code == 201
    assert send_reminders(sqlite_service) == 1  # the same reminder once more is no second one
    client.post(path, **ONE_CLICK)
    assert client.post(resend, headers=AUTHORIZED | {"Idempotency-Key": "key-2"}).status_code == 201
    assert send_reminders(sqlite_service) == 0
    assert reasons(sqlite_service)[-1] == "the address is unsubscribed"
