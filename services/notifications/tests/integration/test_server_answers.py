"""The mail server's answers: slow ones delay no other e-mail, lost ones are retried once, refusals of us fail none."""

from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from events.testing.waiting import wait_until
from notifications import sender as sending
from notifications.models import CLAIM_LEASE, UNKNOWN_RETRY_DELAY
from notifications.outcomes import EMAILS
from notifications.sender import Sender

SLOW = "c1@example.org"


def list_statuses(service: Any) -> list[str]:
    return [email.status for email in service.emails()]


def copies(service: Any, recipient: str = SLOW) -> list[str]:
    """Return the Message-IDs of all e-mails that the server got whole."""
    return [message["Message-ID"] for message in service.server.messages if message["To"] == recipient]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_WAIT_S", 0.2)


def test_slow_answer_delays_no_other_mail_and_is_awaited(service: Any) -> None:
    service.server.stalling.add(SLOW)
    for number in (1, 2, 3):
        service.receive_paid(number)
    assert service.sender.run() == 2
    assert list_statuses(service) == ["sending", "sent", "sent"]
    service.clock.now += CLAIM_LEASE
    assert service.new_sender().run() == 0  # the answer may still come
    service.server.go_on.set()
    wait_until(lambda: list_statuses(service) == ["sent"] * 3)
    assert len(copies(service)) == 1


def test_mail_without_an_answer_is_retried_once_and_then_unknown(service: Any) -> None:
    service.use(smtp_answer_timeout=timedelta(seconds=0.5))
    service.server.stalling.add(SLOW)
    service.receive_paid(1)
    for status in ("pending", "unknown"):
        assert service.sender.run() == 0
        wait_until(lambda status=status: list_statuses(service) == [status])  # type: ignore[misc]
        service.clock.now += UNKNOWN_RETRY_DELAY
    (email,) = service.emails()
    assert email.error.startswith("no answer after the whole e-mail: ")
    for _ in range(100):
        service.clock.advance(hours=1)
        assert service.sender.run() == 0
    first, second = copies(service)
    assert first == second


@pytest.mark.parametrize("is_cut_again", [True, False])
def test_connection_cut_after_the_mail_sends_at_most_two_copies(service: Any, is_cut_again: bool) -> None:
    service.server.cut.add(SLOW)
    service.receive_paid(1)
    service.receive_paid(2)
    assert service.sender.run() == 1
    assert list_statuses(service) == ["pending", "sent"]
    if not is_cut_again:
        service.server.cut.clear()
    for _ in range(100):
        service.clock.advance(hours=1)
        service.sender.run()
    assert list_statuses(service) == ["unknown" if is_cut_again else "sent", "sent"]
    assert len(copies(service)) == 2
    assert len(set(copies(service))) == 1


def test_process_that_dies_while_waiting_sends_two_copies(service: Any) -> None:
    service.server.stalling.add(SLOW)
    service.receive_paid(1)
    for _ in range(3):
        service.new_sender().run()  # its thread gets no answer
        service.clock.now += CLAIM_LEASE + service.config.smtp_answer_timeout
    assert list_statuses(service) == ["unknown"]
    assert len(copies(service)) == 2


def test_answers_are_awaited_up_to_a_limit(sqlite_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = sqlite_service
    monkeypatch.setattr(sending, "MAX_AWAITED_ANSWERS", 2)
    one = service.new_sender()
    for number in range(5):
        service.server.stalling.add(f"c{number}@example.org")
        service.receive_paid(number)
    assert one.run() == 0
    assert sorted(list_statuses(service)) == ["pending"] * 3 + ["sending"] * 2
    service.server.go_on.set()
    wait_until(lambda: list_statuses(service).count("sent") == 2)
    assert one.run() == 3
    assert [len(copies(service, f"c{number}@example.org")) for number in range(5)] == [1] * 5


@pytest.mark.parametrize(
    ("command", "answer", "outcome"),
    [
        ("RCPT", "550 5.1.1 no such user", "failed"),
        ("RCPT", "550 no such user", "failed"),
        ("RCPT", "552 5.2.2 mailbox full", "failed"),
        ("RCPT", "550 5.4.1 recipient address rejected: access denied", "failed"),
        ("RCPT", "550 5.7.17 mailbox owner has changed", "failed"),
        ("RCPT", "554 5.7.1 relay access denied", "blocked"),
        ("RCPT", "550 5.7.1 unable to relay", "blocked"),
        ("RCPT", "554 relay access denied", "blocked"),
        ("RCPT", "550 5.1.8 bad sender's domain", "blocked"),
        ("RCPT", "450 4.7.1 greylisted", "deferred"),
        ("MAIL", "550 5.1.0 sender rejected", "blocked"),
        ("MAIL", "530 5.7.0 authentication required", "blocked"),
        ("MAIL", "552 5.3.4 message too big", "failed"),
        ("MAIL", "451 4.3.0 try again", "deferred"),
        ("DATA", "554 5.7.1 daily quota exceeded", "blocked"),
        ("DATA", "554 5.5.0 protocol error", "blocked"),
        ("DATA", "554 5.3.2 not accepting messages", "blocked"),
        ("DATA", "554 5.6.0 bad content", "failed"),
        ("DATA", "552 5.2.3 too long for this mailbox", "failed"),
        ("DATA", "452 4.2.2 mailbox full", "deferred"),
    ],
)
def test_refusal_fails_a_mail_only_if_it_is_about_the_mail(
    sqlite_service: Any, command: str, answer: str, outcome: str
) -> None:
    before = EMAILS.labels("order_confirmed", outcome)._value.get()
    sqlite_service.server.refusals[command] = answer
    sqlite_service.receive_paid(1)
    sqlite_service.sender.run()
    (email,) = sqlite_service.emails()
    assert email.status == ("failed" if outcome == "failed" else "pending")
    assert email.error == ("mail server refuses us: " if outcome == "blocked" else "") + answer
    assert EMAILS.labels("order_confirmed", outcome)._value.get() == before + 1
    sqlite_service.server.refusals.clear()
    sqlite_service.clock.advance(hours=1)
    assert sqlite_service.sender.run() == (outcome != "failed")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RCPT", "554 5.7.1 relay access denied"),
        ("DATA", "554 5.7.1 daily quota exceeded"),
        ("MAIL", "530 5.7.0 authentication required"),
    ],
)
def test_server_that_refuses_us_for_days_fails_no_mail(service: Any, command: str, answer: str) -> None:
    service.server.refusals[command] = answer
    for number in range(5):
        service.receive_paid(number)
    for _ in range(40):  # five days
        assert service.sender.run() == 0
        service.clock.advance(hours=3)
    assert list_statuses(service) == ["pending"] * 5
    assert all(email.error.startswith("mail server refuses us: ") for email in service.emails())
    service.server.messages.clear()
    service.server.refusals.clear()
    assert service.sender.run() == 5
    assert sorted(service.server.recipients) == [f"c{number}@example.org" for number in range(5)]


def test_one_recipient_that_is_refused_by_policy_delays_no_other(sqlite_service: Any) -> None:
    sqlite_service.server.answers["c2@example.org"] = "550 5.7.1 rejected by the recipient's policy"
    for number in (1, 2, 3):
        sqlite_service.receive_paid(number)
    assert sqlite_service.sender.run() == 2
    for number in range(4, 90):
        sqlite_service.receive_paid(number)
        sqlite_service.clock.advance(hours=1)
        assert sqlite_service.sender.run() == 1
    assert sqlite_service.emails()[1].status == "failed"


@pytest.mark.parametrize(
    ("starttls", "is_sent"),
    [("", False), ("?starttls=auto", False), ("?starttls=require", False), ("?starttls=never", True)],
)
def test_password_is_sent_in_clear_only_if_the_shop_says_never(
    sqlite_service: Any, make_config: Any, starttls: str, is_sent: bool
) -> None:
    logins: list[str] = []

    def authenticate(_server: Any, _session: Any, _envelope: Any, mechanism: str, _data: Any) -> Any:
        logins.append(mechanism)
        return AuthResult(success=True)

    catcher = type(sqlite_service.server)()
    with catcher.running(authenticator=authenticate, auth_require_tls=False):
        sqlite_service.receive_paid(1)
        config = make_config(f"smtp://user:pass@127.0.0.1:{catcher.port}{starttls}")
        Sender(config, sqlite_service.database, clock=sqlite_service.clock).run()
    assert (bool(logins), bool(catcher.messages)) == (is_sent, is_sent)
    (email,) = sqlite_service.emails()
    if not is_sent:
        assert email.status == "pending"
        assert email.error.startswith("mail server refuses us: The server offers no STARTTLS")
        assert "smtps://" in email.error
