"""Staff are told by one mail each, or by a digest; also of what belongs to no purchase."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from notifications.app import create_app
from notifications.digest import Digest
from notifications.sender import Sender

AUTHORIZED = {"Authorization": "Bearer operator-token-0123"}


def with_digest(world):
    """Mails are due at once here, so that only what collects them is looked at."""
    world.config = replace(world.config, staff_digest=Digest.parse("4h"))
    world.sender = Sender(world.config, world.database, clock=world.clock)
    return world


def test_low_stock_is_told_once_for_each_fall(world):
    event = world.event("inventory.stock.low")
    assert world.deliver(event, event) == ["done", "duplicate"]
    world.tell("inventory.stock.low")
    assert [(email.kind, email.checkout_id) for email in world.emails()] == [("staff_stock_low", None)] * 2
    assert world.sender.run() == 2
    assert world.server.recipients == ["staff@shop.example"] * 2
    assert len({mail["Message-ID"] for mail in world.server.messages}) == 2


def test_mail_without_a_purchase_is_put_off_and_sent_again_like_any_other(small_world):
    small_world.server.answers["staff@shop.example"] = "451 later"
    small_world.tell("inventory.stock.low")
    small_world.sender.run()
    small_world.server.answers.clear()
    small_world.clock.advance(seconds=5)
    assert small_world.sender.run() == 1
    client = create_app(small_world.config, database=small_world.database).test_client()
    path = f"/notifications/{small_world.emails()[0].id}/resend"
    answers = [client.post(path, headers=AUTHORIZED) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[0].json["checkout_id"] is None


def test_staff_are_written_to_in_their_own_language(small_world):
    config = replace(small_world.config, staff_locale="ja")
    small_world.tell("orders.review.opened", locale="fr")
    Sender(config, small_world.database, clock=small_world.clock).run()
    assert small_world.server.messages[0]["Content-Language"] == "ja"


def test_digest_collects_what_is_due_and_says_where_each_went(world):
    with_digest(world)
    for event_type in ("orders.review.opened", "orders.dispute.opened", "inventory.stock.low"):
        world.tell(event_type)
    world.paid(1)
    assert world.sender.run() == 2
    *told, digest = sorted(world.emails(), key=lambda email: email.kind == "staff_digest")
    assert digest.status == "sent"
    assert {email.kind: email.status for email in told} == {
        "staff_review": "collected",
        "staff_dispute_opened": "collected",
        "staff_stock_low": "collected",
        "order_confirmed": "sent",
    }
    assert {email.digest_id for email in told} == {digest.id, None}
    (mail,) = (mail for mail in world.server.messages if mail["To"] == "staff@shop.example")
    assert mail["Subject"] == "3 items for the staff of Clozit"
    assert world.sender.run() == 0


def test_single_staff_mail_goes_out_by_itself_and_an_operators_resend_at_once(small_world):
    with_digest(small_world)
    small_world.tell("orders.review.opened")
    small_world.sender.run()
    client = create_app(small_world.config, database=small_world.database).test_client()
    client.post(f"/notifications/{small_world.emails()[0].id}/resend", headers=AUTHORIZED)
    small_world.tell("inventory.stock.low")
    small_world.tell("inventory.stock.low")
    small_world.sender.run()
    subjects = [mail["Subject"] for mail in small_world.server.messages]
    assert sorted(subjects) == [
        "2 items for the staff of Clozit",
        "Needs review: order CLZ-10482",
        "Needs review: order CLZ-10482",
    ]


def test_two_senders_at_once_collect_each_mail_once(world):
    with_digest(world)
    for _ in range(6):
        world.tell("inventory.stock.low")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sender: sender.run(), [world.sender, world.another_sender()]))
    told = [email for email in world.emails() if email.kind == "staff_stock_low"]
    digests = [email for email in world.emails() if email.kind == "staff_digest"]
    assert sum(len(digest.context["items"]) for digest in digests) + sum(e.status == "sent" for e in told) == 6
    assert all(email.digest_id or email.status == "sent" for email in told)


@pytest.mark.parametrize("templates", ["{{ order.lines[0].nothing_there }}", "{{ 1 / 0 }}"])
def test_shops_template_that_fails_on_a_mails_data_does_not_cost_the_mail(small_world, tmp_path, templates):
    own = tmp_path / "templates" / "order_confirmed.txt"
    own.parent.mkdir()
    own.write_text("{% if order.number == 'CLZ-1' %}" + templates + "{% endif %}Ahoy", "utf-8")
    config = replace(small_world.config, templates=tmp_path)
    for number in ("CLZ-1", "CLZ-2"):
        small_world.tell("orders.order.paid", number=number, checkout_id=number, order_id=number)
    assert Sender(config, small_world.database, clock=small_world.clock).run() == 2
    texts = [mail.get_body(("plain",)).get_content() for mail in small_world.server.messages]
    assert "Thank you for your order" in texts[0]
    assert texts[1].strip() == "Ahoy"
