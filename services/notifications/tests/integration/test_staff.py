"""Mails to staff: one by one or in a digest, also about no checkout."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import notifications.digest
import pytest
from events.messaging.event import own_event
from notifications import samples
from notifications.app import create_app
from notifications.digest import DigestSchedule, collect_due
from notifications.sender import Sender

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}


def keyed() -> dict[str, str]:
    """Return an operator's headers with a new idempotency key."""
    return AUTHORIZED | {"Idempotency-Key": str(uuid4())}


skus = itertools.count()


def receive_low_stock(service: Any) -> None:
    """Deliver low stock of a new sku."""
    service.receive("inventory.stock.low", sku=f"SKU-{next(skus)}")


def use_digest(service: Any) -> Any:
    """Let the sender collect digests. E-mails are still due at once, because the handlers have no schedule."""
    service.config = replace(service.config, staff_digest=DigestSchedule.parse("4h"))
    service.sender = Sender(service.config, service.database, clock=service.clock)
    return service


def test_low_stock_sends_one_mail_for_a_sku_and_day(service: Any) -> None:
    today = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    for sku, at in (("A", today), ("A", today + timedelta(hours=14)), ("B", today), ("A", today + timedelta(days=1))):
        data = {"sku": sku, "available": 2, "threshold": 3}
        assert service.deliver(own_event("inventory.stock.low", data, occurred_at=at)) == ["done"]
    assert [(email.kind, email.checkout_id) for email in service.emails()] == [("staff_stock_low", None)] * 3
    assert service.sender.run() == 3
    assert sorted(mail["Subject"] for mail in service.server.messages) == [f"Low stock: {sku}" for sku in "AAB"]
    assert len({mail["Message-ID"] for mail in service.server.messages}) == 3


def test_payment_in_no_currency_is_mailed_to_staff(sqlite_service: Any) -> None:
    charged = {**samples.CHARGED, "currency": "xxx"}
    detail = "The customer paid in EUROS instead of EUR."
    sqlite_service.receive("orders.review.opened", reason="currency-mismatch", detail=detail, charged=charged)
    sqlite_service.receive("orders.refund.failed", refund_currency="xxx", charged=charged)
    sqlite_service.sender.run()
    assert {email.status for email in sqlite_service.emails() if email.kind.startswith("staff_")} == {"sent"}
    assert detail in " ".join(sqlite_service.server.messages[0].get_body(("plain",)).get_content().split())


@pytest.mark.parametrize("email", ["ada@example.org", None])
def test_new_order_is_mailed_to_staff_if_they_want_it(sqlite_service: Any, email: str | None) -> None:
    sqlite_service.use(staff_new_order=True)
    assert sqlite_service.receive("orders.order.paid", customer_email=email) == "done"
    sqlite_service.sender.run()
    (mail,) = (mail for mail in sqlite_service.server.messages if mail["To"] == "staff@shop.example")
    assert mail["Subject"] == "New order CLZ-10482: €120.52"
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "Organic T-shirt, white, M" in text
    assert "POST /orders/ord_0199f3a2c4d57e8a9b0c1d2e3f405162/shipments" in text
    assert len(sqlite_service.server.messages) == (2 if email else 1)


@pytest.mark.parametrize(
    ("refund_id", "label"), [("re_1", "Refund id"), ("rfr_1", "Refund request, which Stripe refused")]
)
def test_failed_refund_shows_an_id_that_stripe_knows(sqlite_service: Any, refund_id: str, label: str) -> None:
    sqlite_service.receive("orders.refund.failed", refund_id=refund_id, refund_request_id="rfr_1")
    sqlite_service.sender.run()
    (mail,) = sqlite_service.server.messages
    assert f"{label}: {refund_id}" in mail.get_body(("plain",)).get_content()


def test_mail_without_a_checkout_can_be_retried_and_resent(sqlite_service: Any) -> None:
    sqlite_service.server.answers["staff@shop.example"] = "451 later"
    sqlite_service.receive("inventory.stock.low")
    sqlite_service.sender.run()
    sqlite_service.server.answers.clear()
    sqlite_service.clock.advance(seconds=5)
    assert sqlite_service.sender.run() == 1
    client = create_app(sqlite_service.config, database=sqlite_service.database).test_client()
    path = f"/notifications/{sqlite_service.emails()[0].id}/resend"
    answers = [client.post(path, headers=keyed()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[0].get_json()["checkout_id"] is None


def test_mail_to_staff_is_in_their_language(sqlite_service: Any) -> None:
    config = replace(sqlite_service.config, staff_locale="ja")
    sqlite_service.receive("orders.review.opened", locale="fr", customer_email=None)
    Sender(config, sqlite_service.database, clock=sqlite_service.clock).run()
    assert sqlite_service.server.messages[0]["Content-Language"] == "ja"


def test_digest_collects_due_mails_and_links_them(service: Any) -> None:
    use_digest(service)
    service.receive("orders.review.opened", customer_email=None)
    service.receive("orders.dispute.opened")
    service.receive("inventory.stock.low")
    service.receive_paid(1)
    assert service.sender.run() == 2
    *others, digest = sorted(service.emails(), key=lambda email: email.kind == "staff_digest")
    assert digest.status == "sent"
    assert {email.kind: email.status for email in others} == {
        "staff_review_opened": "collected",
        "staff_dispute_opened": "collected",
        "staff_stock_low": "collected",
        "order_confirmed": "sent",
    }
    assert {email.digest_id for email in others} == {digest.id, None}
    (mail,) = (mail for mail in service.server.messages if mail["To"] == "staff@shop.example")
    assert mail["Subject"] == "3 items for the staff of Clozit"
    assert service.sender.run() == 0


def test_single_mail_and_resend_are_sent_without_a_digest(sqlite_service: Any) -> None:
    use_digest(sqlite_service)
    sqlite_service.receive("orders.review.opened", customer_email=None)
    sqlite_service.sender.run()
    client = create_app(sqlite_service.config, database=sqlite_service.database).test_client()
    client.post(f"/notifications/{sqlite_service.emails()[0].id}/resend", headers=keyed())
    receive_low_stock(sqlite_service)
    receive_low_stock(sqlite_service)
    sqlite_service.sender.run()
    subjects = [mail["Subject"] for mail in sqlite_service.server.messages]
    assert sorted(subjects) == [
        "2 items for the staff of Clozit",
        "Needs review: order CLZ-10482",
        "Needs review: order CLZ-10482",
    ]


def test_busy_day_is_several_digests_with_whole_checkouts(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All items of one order are in one e-mail. Each digest is a transaction of its own."""
    monkeypatch.setattr(notifications.digest, "MAX_ITEMS", 3)
    use_digest(service)
    for _ in range(2):
        receive_low_stock(service)
    for number in (1, 2, 1, 2, 1, 3, 3):  # disputes of three orders, in turn
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}", "number": f"CLZ-{number}"}
        service.receive("orders.dispute.opened", dispute_id=f"du_{next(skus)}", **ids)
    with service.database.begin() as session:
        collect_due(session, service.clock())
    collected = [email.status for email in service.emails()].count("collected")
    assert collected == 5, "one transaction: three, and the rest of the third one's order"
    service.sender.run()
    texts = [mail.get_body(("plain",)).get_content() for mail in service.server.messages]
    found = [sorted({word for word in ("CLZ-1", "CLZ-2", "CLZ-3", "Low stock") if word in text}) for text in texts]
    assert sorted(found) == [["CLZ-1", "Low stock"], ["CLZ-2", "CLZ-3"]]
    assert [email.kind for email in service.emails() if email.status == "pending"] == []


def test_two_senders_at_once_collect_each_mail_once(service: Any) -> None:
    use_digest(service)
    for _ in range(6):
        receive_low_stock(service)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sender: sender.run(), [service.sender, service.new_sender()]))
    collected = [email for email in service.emails() if email.kind == "staff_stock_low"]
    [digest] = [email for email in service.emails() if email.kind == "staff_digest"]
    assert len(digest.event_data["items"]) == 6
    assert {email.digest_id for email in collected} == {digest.id}


def test_two_senders_at_once_keep_a_checkout_in_one_digest(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications.digest, "MAX_ITEMS", 1)  # so that every e-mail is the last one of its claim
    use_digest(service)
    for number in (1, 2, 3) * 4:
        ids = {"checkout_id": f"chk_{number}", "order_id": f"ord_{number}"}
        service.receive("orders.dispute.opened", dispute_id=f"du_{next(skus)}", **ids)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sender: sender.run(), [service.sender, service.new_sender()]))
    found = {(email.checkout_id, email.digest_id) for email in service.emails() if email.kind == "staff_dispute_opened"}
    assert len(found) == 3
    assert None not in {digest for _, digest in found}


def test_many_mails_about_skus_are_several_digests(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications.digest, "MAX_ITEMS", 3)
    use_digest(service)
    for _ in range(8):
        receive_low_stock(service)
    service.sender.run()
    digests = [email for email in service.emails() if email.kind == "staff_digest"]
    assert sorted(len(digest.event_data["items"]) for digest in digests) == [2, 3, 3]


@pytest.mark.parametrize("template", ["{{ order.lines[0].nothing_there }}", "{{ 1 / 0 }}"])
def test_failing_template_of_the_shop_does_not_cost_the_mail(
    sqlite_service: Any, tmp_path: Path, template: str
) -> None:
    own = tmp_path / "templates" / "order_confirmed.txt"
    own.parent.mkdir()
    own.write_text("{% if order.number == 'CLZ-1' %}" + template + "{% endif %}Ahoy", "utf-8")
    config = replace(sqlite_service.config, templates_dir=tmp_path)
    for number in ("CLZ-1", "CLZ-2"):
        sqlite_service.receive("orders.order.paid", number=number, checkout_id=number, order_id=number)
    assert Sender(config, sqlite_service.database, clock=sqlite_service.clock).run() == 2
    texts = [mail.get_body(("plain",)).get_content() for mail in sqlite_service.server.messages]
    assert "Thank you for your order" in texts[0]
    assert texts[1].strip() == "Ahoy"
