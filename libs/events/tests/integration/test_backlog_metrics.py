"""What is unfinished is told at each scrape, and a database that is away hides nothing else."""

from datetime import timedelta

from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.messaging import inbox, outbox
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import own_event
from events.messaging.inbox_models import InboxEvent
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.testing.fixtures import MakeDatabase
from events.web.app import create_app
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

CANCELED = {"checkout_id": "chk_1", "session_id": "cs_1"}


def scrape(database: Database) -> dict[tuple[str, str | None], float]:
    config = Common(service="orders", port=0, broker_url="memory://")
    collectors = [InboxBacklog(database), OutboxBacklog(database)]
    text = (
        create_app(config, title="test", checks={}, blueprints=[], collectors=collectors).test_client().get("/metrics")
    )
    return {
        (sample.name, sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(text.get_data(as_text=True))
        for sample in family.samples
    }


def test_backlog_is_counted_and_its_age_told(any_database: MakeDatabase) -> None:
    database = any_database([INBOX, OUTBOX])
    with database.begin() as session:
        for number in range(2):
            event = own_event("checkout.checkout.canceled", CANCELED)
            inbox.store_unhandled(session, event, "retrying", ValueError(str(number)))
        session.execute(update(InboxEvent).values(received_at=utcnow() - timedelta(minutes=5)))
        outbox.add(session, "checkout.checkout.canceled", CANCELED, correlation_id="chk_1")
    told = scrape(database)
    assert told["clozit_inbox_events", "retrying"] == 2
    assert 300 <= told["clozit_inbox_oldest_age_seconds", "retrying"] < 360
    assert told["clozit_inbox_events", "failed"] == told["clozit_inbox_oldest_age_seconds", "waiting"] == 0
    assert told["clozit_outbox_unpublished_events", None] == 1
    assert told["clozit_outbox_oldest_age_seconds", None] < 60


def test_database_away_hides_only_its_own() -> None:
    told = scrape(Database("sqlite:////nowhere/at/all.db"))
    assert ("clozit_inbox_events", "failed") not in told
    assert any(name.startswith("python_info") for name, _ in told)
