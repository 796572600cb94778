"""The sender: a server that is away loses no e-mail, each e-mail is sent once, and a bad e-mail delays no other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.message import EmailMessage
from typing import Any, NoReturn

import pytest
from notifications.claims import CLAIM_BATCH_SIZE
from notifications.models import CLAIM_LEASE, RETRY_DELAYS
from notifications.outcomes import EMAILS
from notifications.sender import Sender
from notifications.smtp import Connection
from sqlalchemy import event


class Crash(BaseException):
    """The end of the process at this point."""


def list_statuses(service: Any) -> list[str]:
    return [email.status for email in service.emails()]


def test_mail_is_sent_after_the_commit(service: Any) -> None:
    service.receive_paid(1)
    assert service.sender.run() == 1
    (email,), (message,) = service.emails(), service.server.messages
    assert (email.status, email.sent_at, email.next_attempt_at, email.error) == ("sent", service.clock.now, None, None)
    assert message["To"] == "c1@example.org"
    assert message["Message-ID"] == email.message_id == "<order_confirmed.chk_1.ord_1@shop.example>"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert service.sender.run() == 0


def test_staff_mail_goes_to_the_configured_address(sqlite_service: Any) -> None:
    sqlite_service.receive("orders.review.opened", customer_email=None)
    sqlite_service.sender.run()
    assert sqlite_service.server.recipients == ["staff@shop.example"]


def test_batch_is_sent_over_one_connection(sqlite_service: Any) -> None:
    for number in range(5):
        sqlite_service.receive_paid(number)
    assert sqlite_service.sender.run() == 5
    assert sqlite_service.server.sessions == 1


def test_run_sends_more_than_a_batch(sqlite_service: Any) -> None:
    for number in range(CLAIM_BATCH_SIZE + 1):
        sqlite_service.receive_paid(number)
    assert sqlite_service.sender.run() == CLAIM_BATCH_SIZE + 1


def test_run_without_due_mails_is_one_query(sqlite_service: Any) -> None:
    statements = []
    event.listen(sqlite_service.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    sqlite_service.sender.run()
    queries = [statement for statement in statements if not statement.startswith(("PRAGMA", "BEGIN"))]
    assert len(queries) == 1


def test_run_ends_after_its_time_and_releases_the_rest(sqlite_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        sqlite_service.receive_paid(number)
    send = sqlite_service.sender._hand_over

    def slowly(*args: Any) -> Any:
        sqlite_service.clock.advance(seconds=6)
        return send(*args)

    monkeypatch.setattr(sqlite_service.sender, "_hand_over", slowly)
    assert sqlite_service.sender.run() == 1
    assert sorted(list_statuses(sqlite_service)) == ["pending", "pending", "sent"]
    assert [email.attempts for email in sqlite_service.emails()] == [1, 0, 0]


def test_crash_after_sending_repeats_the_mail_with_the_same_id(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> NoReturn:
        raise Crash

    service.receive_paid(1)
    monkeypatch.setattr(service.sender.outcomes, "mark_sent", die)
    with pytest.raises(Crash):
        service.sender.run()
    assert list_statuses(service) == ["sending"]
    assert service.new_sender().run() == 0  # it may still be in flight
    service.clock.now += CLAIM_LEASE + service.config.smtp_answer_timeout
    assert service.new_sender().run() == 1
    assert list_statuses(service) == ["sent"]
    assert len(service.server.messages) == 2
    assert len({message["Message-ID"] for message in service.server.messages}) == 1


def test_server_that_is_away_delays_mails_and_loses_none(sqlite_service: Any, make_config: Any) -> None:
    service, server = sqlite_service, sqlite_service.server
    other = type(server)()
    with other.running():
        pass
    away = Sender(make_config(f"smtp://127.0.0.1:{other.port}"), service.database, clock=service.clock)
    for number in range(3):
        service.receive_paid(number)
    for pause in RETRY_DELAYS:
        assert away.run() == 0
        due = {email.next_attempt_at - service.clock.now for email in service.emails()}
        assert due == {pause}
        assert list_statuses(service) == ["pending"] * 3
        service.clock.now += pause
    for _ in range(200):  # more than a week
        away.run()
        service.clock.advance(hours=1)
    assert list_statuses(service) == ["pending"] * 3
    assert all(email.error.startswith("mail server away: ") for email in service.emails())
    with other.running():
        assert away.run() == 3
    assert sorted(other.recipients) == [f"c{number}@example.org" for number in range(3)]
    assert list_statuses(service) == ["sent"] * 3


def test_waiting_mails_are_sent_once_the_server_is_back(sqlite_service: Any, make_config: Any) -> None:
    service, server = sqlite_service, type(sqlite_service.server)()
    with server.running():
        pass
    sender = Sender(make_config(f"smtp://127.0.0.1:{server.port}"), service.database, clock=service.clock)
    service.receive_paid(1)
    for _ in range(10):
        sender.run()
        service.clock.advance(hours=1)
    sender.run()
    service.receive_paid(2)
    with server.running():
        assert sender.run() == 2


def test_refused_login_delays_all_mails(sqlite_service: Any, make_config: Any) -> None:
    sqlite_service.receive_paid(1)
    url = f"smtp://user:secret@127.0.0.1:{sqlite_service.server.port}?starttls=never"
    Sender(make_config(url), sqlite_service.database, clock=sqlite_service.clock).run()
    (email,) = sqlite_service.emails()
    assert email.status == "pending"
    assert "mail server refuses us" in email.error
    assert "secret" not in email.error


def test_mail_is_not_sent_without_required_encryption(sqlite_service: Any, make_config: Any) -> None:
    sqlite_service.receive_paid(1)
    url = f"smtp://127.0.0.1:{sqlite_service.server.port}?starttls=require"
    assert Sender(make_config(url), sqlite_service.database, clock=sqlite_service.clock).run() == 0
    assert "STARTTLS" in sqlite_service.emails()[0].error
    assert sqlite_service.server.messages == []


def test_permanent_refusal_fails_only_that_mail(service: Any) -> None:
    service.server.answers["c2@example.org"] = "550 5.1.1 no such user"
    for number in (1, 2, 3):
        service.receive_paid(number)
    assert service.sender.run() == 2
    assert list_statuses(service) == ["sent", "failed", "sent"]
    assert service.emails()[1].error == "550 5.1.1 no such user"
    service.clock.advance(days=1)
    assert service.sender.run() == 0


def test_temporary_refusal_is_retried_for_three_days(sqlite_service: Any) -> None:
    service = sqlite_service
    service.server.answers["c1@example.org"] = "451 4.7.1 greylisted"
    service.receive_paid(1)
    began, due = service.clock.now, service.clock.now
    while due is not None:
        service.clock.now = due
        service.sender.run()
        (email,) = service.emails()
        due = email.next_attempt_at
    assert service.clock.now - began > timedelta(days=3)
    assert (email.status, email.error) == ("failed", "451 4.7.1 greylisted")


def test_temporarily_refused_mail_is_delivered_later(sqlite_service: Any) -> None:
    sqlite_service.server.answers["c1@example.org"] = "451 4.7.1 greylisted"
    sqlite_service.receive_paid(1)
    sqlite_service.receive_paid(2)
    assert sqlite_service.sender.run() == 1
    sqlite_service.server.answers.clear()
    sqlite_service.clock.advance(seconds=5)
    assert sqlite_service.sender.run() == 1
    assert list_statuses(sqlite_service) == ["sent", "sent"]


@pytest.mark.parametrize("closing", ["421 4.3.2 shutting down"])
def test_connection_closed_by_the_server_delays_one_mail(sqlite_service: Any, closing: str) -> None:
    sqlite_service.server.answers["c1@example.org"] = closing
    for number in range(4):
        sqlite_service.receive_paid(number)
    assert sqlite_service.sender.run() == 3
    assert list_statuses(sqlite_service) == ["sent", "pending", "sent", "sent"]


def test_lost_connection_delays_one_mail(sqlite_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Connection.transmit

    def lose(self: Connection, message: EmailMessage, **kwargs: str) -> None:
        if kwargs["recipient"] == "c1@example.org":
            self._client.close()
        send(self, message, **kwargs)

    monkeypatch.setattr(Connection, "transmit", lose)
    for number in range(4):
        sqlite_service.receive_paid(number)
    assert sqlite_service.sender.run() == 3
    assert list_statuses(sqlite_service) == ["sent", "pending", "sent", "sent"]
    assert sqlite_service.emails()[1].attempts == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"customer_email": "c2@example.org\r\nBcc: all@example.org"},
        {"customer_email": "c2@example.org, c3@example.org"},
    ],
)
def test_mail_that_cannot_be_written_fails_alone(sqlite_service: Any, broken: dict[str, str]) -> None:
    sqlite_service.receive_paid(1)
    sqlite_service.receive_paid(2, **broken)
    sqlite_service.receive_paid(3)
    assert sqlite_service.sender.run() == 2
    assert list_statuses(sqlite_service) == ["sent", "failed", "sent"]
    assert sqlite_service.emails()[1].error.startswith("cannot be written: ")
    assert sqlite_service.server.recipients == ["c1@example.org", "c3@example.org"]


def test_two_senders_at_once_send_each_mail_once(service: Any) -> None:
    count = 2 * CLAIM_BATCH_SIZE + 5
    for number in range(count):
        service.receive_paid(number)
    senders = [service.new_sender(), service.new_sender()]
    together = threading.Barrier(2)

    def run(sender: Sender) -> int:
        together.wait(30)
        return sender.run()

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(run, senders)) == count
    assert sorted(service.server.recipients) == sorted(f"c{number}@example.org" for number in range(count))
    assert set(list_statuses(service)) == {"sent"}


def test_late_sender_does_not_change_another_senders_outcome(service: Any) -> None:
    service.receive_paid(1)
    slow = service.sender.claims.claim()
    service.clock.advance(seconds=CLAIM_LEASE.total_seconds())
    assert service.new_sender().run() == 1
    service.sender.outcomes.schedule_retry(slow[0], "451 late")
    assert list_statuses(service) == ["sent"]


def test_metric_counts_the_outcome_of_each_attempt(sqlite_service: Any) -> None:
    def count(outcome: str) -> Any:
        return EMAILS.labels("order_confirmed", outcome)._value.get()

    before = {outcome: count(outcome) for outcome in ("sent", "failed", "deferred")}
    sqlite_service.server.answers.update({"c2@example.org": "550 no", "c3@example.org": "450 later"})
    for number in (1, 2, 3):
        sqlite_service.receive_paid(number)
    sqlite_service.sender.run()
    assert {outcome: count(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1)
