"""Metrics of unfinished work: read at each scrape, and missing alone while the database is away."""

from datetime import timedelta

from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.messaging import inbox, outbox
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import own_event
from events.messaging.inbox_models import InboxEvent
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.operations import inbox as inbox_operations
from events.testing.fixtures import MakeDatabase
from events.web.app import create_app
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

CANCELED = {"checkout_id": "chk_1", "session_id": "cs_1"}


def scrape(database: Database) -> dict[tuple[str, str | None], float]:
    """Return the values of /metrics by name and status label."""
    config = Common(service="orders", port=0, broker_url="memory://")
    collectors = [InboxBacklog(database), OutboxBacklog(database)]
    app = create_app(config, title="test", checks={}, blueprints=[], collectors=collectors)
    response = app.test_client().get("/metrics")
    return {
        (sample.name, sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(response.get_data(as_text=True))
        for sample in family.samples
    }


def test_scrape_reports_backlog_and_age(any_database: MakeDatabase) -> None:
    database = any_database([INBOX, OUTBOX])
    with database.begin() as session:
        for number in range(2):
            event = own_event("checkout.checkout.canceled", CANCELED)
            inbox.store_unhandled(session, event, "retrying", ValueError(str(number)))
        session.execute(update(InboxEvent).values(received_at=utcnow() - timedelta(minutes=5)))
        outbox.add(session, "checkout.checkout.canceled", CANCELED, correlation_id="chk_1")
    scraped = scrape(database)
    assert scraped["clozit_inbox_events", "retrying"] == 2
    assert 300 <= scraped["clozit_inbox_oldest_age_seconds", "retrying"] < 360
    assert scraped["clozit_inbox_events", "failed"] == scraped["clozit_inbox_oldest_age_seconds", "waiting"] == 0
    assert scraped["clozit_outbox_unpublished_events", None] == 1
    assert scraped["clozit_outbox_oldest_age_seconds", None] < 60


def test_scrape_reports_a_pause(any_database: MakeDatabase) -> None:
    database = any_database([INBOX, OUTBOX])
    assert scrape(database)["clozit_consumer_paused", None] == 0
    with database.begin() as session:
        inbox_operations.set_paused(session, True, actor="ana", reason="a bad deploy")
    assert scrape(database)["clozit_consumer_paused", None] == 1


def test_database_away_hides_only_the_backlog_metrics() -> None:
    scraped = scrape(Database("sqlite:////nowhere/at/all.db"))
    assert ("clozit_inbox_events", "failed") not in scraped
    assert any(name.startswith("python_info") for name, _ in scraped)
