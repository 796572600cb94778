"""Metrics of e-mails that wait: why they wait, and how long the oldest has waited."""

from datetime import timedelta
from typing import Any

from events.clock import utcnow
from notifications.email_backlog import EmailBacklog
from notifications.models import Email
from sqlalchemy import update


def scrape(service: Any) -> dict[tuple[str, str], float]:
    families = EmailBacklog(service.database).collect()
    return {
        (sample.name.removeprefix("clozit_emails_"), sample.labels["reason"]): sample.value
        for family in families
        for sample in family.samples
    }


def set_times(service: Any, **values: Any) -> None:
    with service.database.begin() as session:
        session.execute(update(Email).values(**values))


def test_untried_mail_waits_once_it_is_due(service: Any) -> None:
    service.receive_paid(1)
    set_times(service, next_attempt_at=utcnow() + timedelta(hours=1))
    assert not any(scrape(service).values())
    set_times(service, next_attempt_at=utcnow() - timedelta(hours=1), created_at=utcnow() - timedelta(hours=2))
    found = scrape(service)
    assert found["waiting", "due"] == 1
    assert 7200 <= found["waiting_oldest_age_seconds", "due"] < 7300
    assert found["waiting", "away"] == found["waiting", "blocked"] == found["waiting", "deferred"] == 0


def test_mail_for_a_server_that_is_away_waits_for_it(service: Any) -> None:
    service.use(smtp_url="smtp://127.0.0.1:1")
    service.receive_paid(1)
    service.sender.run()
    assert {key: value for key, value in scrape(service).items() if key[0] == "waiting" and value} == {
        ("waiting", "away"): 1
    }


def test_deferred_mail_is_counted_apart(service: Any) -> None:
    service.server.refusals["DATA"] = "451 4.7.1 try again later"
    service.receive_paid(1)
    service.sender.run()
    found = scrape(service)
    assert found["waiting", "deferred"] + found["waiting", "blocked"] == 1
    assert found["waiting", "away"] == 0


def test_sent_mail_and_reminder_do_not_wait(service: Any) -> None:
    service.receive_paid(1)
    service.sender.run()
    service.receive("orders.order.expired")
    set_times(service, created_at=utcnow() - timedelta(hours=2))
    assert not any(scrape(service).values())
