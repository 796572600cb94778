"""Nothing is lost while the mail server is away, nothing goes out twice, one bad mail harms no other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from notifications.models import BACKOFF, LEASE
from notifications.sender import BATCH, EMAILS, Sender
from sqlalchemy import event


class Crash(BaseException):
    """The process dies here."""


def statuses(world):
    return [email.status for email in world.emails()]


def test_mail_is_sent_after_the_commit(world):
    world.paid(1)
    assert world.sender.run() == 1
    (email,), (message,) = world.emails(), world.server.messages
    assert (email.status, email.sent_at, email.next_attempt_at, email.error) == ("sent", world.clock.now, None, None)
    assert message["To"] == "c1@example.org"
    assert message["Message-ID"] == email.message_id == "<order_confirmed.chk_1.ord_1@shop.example>"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert world.sender.run() == 0


def test_staff_mail_goes_to_the_configured_address(small_world):
    small_world.tell("orders.review.opened")
    small_world.sender.run()
    assert small_world.server.recipients == ["staff@shop.example"]


def test_batch_goes_over_one_connection(small_world):
    for number in range(5):
        small_world.paid(number)
    assert small_world.sender.run() == 5
    assert small_world.server.conversations == 1


def test_more_than_a_batch_is_sent_at_once(small_world):
    for number in range(BATCH + 1):
        small_world.paid(number)
    assert small_world.sender.run() == BATCH + 1


def test_idle_look_is_one_query(small_world):
    statements = []
    event.listen(small_world.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    small_world.sender.run()
    queries = [statement for statement in statements if not statement.startswith(("PRAGMA", "BEGIN"))]
    assert len(queries) == 1


def test_stint_ends_so_that_the_worker_can_stop(small_world, monkeypatch):
    for number in range(3):
        small_world.paid(number)
    take = small_world.sender._send

    def slowly(*args):
        small_world.clock.advance(seconds=6)
        return take(*args)

    monkeypatch.setattr(small_world.sender, "_send", slowly)
    assert small_world.sender.run() == 1
    assert sorted(statuses(small_world)) == ["pending", "pending", "sent"]
    assert [email.attempts for email in small_world.emails()] == [1, 0, 0]


def test_crash_between_sending_and_marking_sends_again_under_the_same_id(world, monkeypatch):
    def die(*_):
        raise Crash

    world.paid(1)
    monkeypatch.setattr(world.sender, "_mark_sent", die)
    with pytest.raises(Crash):
        world.sender.run()
    assert statuses(world) == ["sending"]
    assert world.another_sender().run() == 0  # as far as anybody knows it is still being sent
    world.clock.advance(seconds=LEASE.total_seconds())
    assert world.another_sender().run() == 1
    assert statuses(world) == ["sent"]
    assert len(world.server.messages) == 2
    assert len({message["Message-ID"] for message in world.server.messages}) == 1


def test_server_that_is_down_delays_mail_and_loses_none(small_world, make_config):
    world, server = small_world, small_world.server
    other = type(server)()
    with other.up():
        pass
    away = Sender(make_config(f"smtp://127.0.0.1:{other.port}"), world.database, clock=world.clock)
    for number in range(3):
        world.paid(number)
    for pause in BACKOFF:
        assert away.run() == 0
        due = {email.next_attempt_at - world.clock.now for email in world.emails()}
        assert due == {pause}
        assert statuses(world) == ["pending"] * 3
        world.clock.now += pause
    for _ in range(200):  # more than a week
        away.run()
        world.clock.advance(hours=1)
    assert statuses(world) == ["pending"] * 3
    assert all(email.error.startswith("mail server away: ") for email in world.emails())
    with other.up():
        assert away.run() == 3
    assert sorted(other.recipients) == [f"c{number}@example.org" for number in range(3)]
    assert statuses(world) == ["sent"] * 3


def test_what_waited_for_the_server_goes_out_as_soon_as_it_is_back(small_world, make_config):
    world, server = small_world, type(small_world.server)()
    with server.up():
        pass
    sender = Sender(make_config(f"smtp://127.0.0.1:{server.port}"), world.database, clock=world.clock)
    world.paid(1)
    for _ in range(10):
        sender.run()
        world.clock.advance(hours=1)
    sender.run()
    world.paid(2)
    with server.up():
        assert sender.run() == 2


def test_login_that_the_server_refuses_is_the_server_being_away(small_world, make_config):
    small_world.paid(1)
    url = f"smtp://user:secret@127.0.0.1:{small_world.server.port}"
    Sender(make_config(url), small_world.database, clock=small_world.clock).run()
    (email,) = small_world.emails()
    assert email.status == "pending"
    assert "mail server away" in email.error
    assert "secret" not in email.error


def test_required_encryption_is_not_done_without(small_world, make_config):
    small_world.paid(1)
    url = f"smtp://127.0.0.1:{small_world.server.port}?starttls=require"
    assert Sender(make_config(url), small_world.database, clock=small_world.clock).run() == 0
    assert "STARTTLS" in small_world.emails()[0].error
    assert small_world.server.messages == []


def test_permanent_refusal_fails_that_mail_alone(world):
    world.server.answers["c2@example.org"] = "550 5.1.1 no such user"
    for number in (1, 2, 3):
        world.paid(number)
    assert world.sender.run() == 2
    assert statuses(world) == ["sent", "failed", "sent"]
    assert world.emails()[1].error == "550 5.1.1 no such user"
    world.clock.advance(days=1)
    assert world.sender.run() == 0


def test_temporary_refusal_is_tried_again_for_three_days(small_world):
    world = small_world
    world.server.answers["c1@example.org"] = "451 4.7.1 greylisted"
    world.paid(1)
    began, due = world.clock.now, world.clock.now
    while due is not None:
        world.clock.now = due
        world.sender.run()
        (email,) = world.emails()
        due = email.next_attempt_at
    assert world.clock.now - began > timedelta(days=3)
    assert (email.status, email.error) == ("failed", "451 4.7.1 greylisted")


def test_temporary_refusal_ends_in_delivery(small_world):
    small_world.server.answers["c1@example.org"] = "451 4.7.1 greylisted"
    small_world.paid(1)
    small_world.paid(2)
    assert small_world.sender.run() == 1
    small_world.server.answers.clear()
    small_world.clock.advance(seconds=5)
    assert small_world.sender.run() == 1
    assert statuses(small_world) == ["sent", "sent"]


@pytest.mark.parametrize("closing", ["421 4.3.2 shutting down"])
def test_conversation_that_breaks_off_harms_no_neighbour(small_world, closing):
    small_world.server.answers["c1@example.org"] = closing
    for number in range(4):
        small_world.paid(number)
    assert small_world.sender.run() == 3
    assert statuses(small_world) == ["sent", "pending", "sent", "sent"]


def test_lost_connection_harms_no_neighbour(small_world, monkeypatch):
    from notifications.smtp import Connection

    send = Connection.send

    def lose(self, message, **kwargs):
        if kwargs["recipient"] == "c1@example.org":
            self._client.close()
        send(self, message, **kwargs)

    monkeypatch.setattr(Connection, "send", lose)
    for number in range(4):
        small_world.paid(number)
    assert small_world.sender.run() == 3
    assert statuses(small_world) == ["sent", "pending", "sent", "sent"]
    assert small_world.emails()[1].attempts == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"customer_email": "c2@example.org\r\nBcc: all@example.org"},
        {"customer_email": "c2@example.org, c3@example.org"},
        {"currency": "xxx"},
    ],
)
def test_mail_that_cannot_be_written_harms_no_neighbour(small_world, broken):
    small_world.paid(1)
    small_world.paid(2, **broken)
    small_world.paid(3)
    assert small_world.sender.run() == 2
    assert statuses(small_world) == ["sent", "failed", "sent"]
    assert small_world.emails()[1].error.startswith("cannot be written: ")
    assert small_world.server.recipients == ["c1@example.org", "c3@example.org"]


def test_two_senders_at_once_send_each_mail_once(world):
    count = 2 * BATCH + 5
    for number in range(count):
        world.paid(number)
    senders = [world.another_sender(), world.another_sender()]
    together = threading.Barrier(2)

    def run(sender):
        together.wait(5)
        return sender.run()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(run, senders)) == count
    assert sorted(world.server.recipients) == sorted(f"c{number}@example.org" for number in range(count))
    assert set(statuses(world)) == {"sent"}


def test_sender_whose_lease_ended_does_not_undo_what_another_did(world):
    world.paid(1)
    slow = world.sender._claim()
    world.clock.advance(seconds=LEASE.total_seconds())
    assert world.another_sender().run() == 1
    world.sender._put_off(slow[0], "451 late")
    assert statuses(world) == ["sent"]


def test_metrics_count_what_became_of_each_attempt(small_world):
    def count(outcome):
        return EMAILS.labels("order_confirmed", outcome)._value.get()

    before = {outcome: count(outcome) for outcome in ("sent", "failed", "deferred")}
    small_world.server.answers.update({"c2@example.org": "550 no", "c3@example.org": "450 later"})
    for number in (1, 2, 3):
        small_world.paid(number)
    small_world.sender.run()
    assert {outcome: count(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1)
