"""Events for a worker, and what is seen of its work in the database and at the broker."""

from events.database.engine import Database
from events.messaging.event import Event, own_event
from events.messaging.inbox_models import InboxEvent
from kombu import Connection
from sqlalchemy import select, text


def canceled(number: int) -> Event:
    return own_event(
        "checkout.checkout.canceled",
        {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"},
        correlation_id=f"chk_{number}",
    )


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT checkout_id FROM effects")))


def rows(database: Database, status: str) -> list[InboxEvent]:
    with database.read() as session:
        return list(session.scalars(select(InboxEvent).where(InboxEvent.status == status)))


def depth(broker_url: str, queue: str) -> int:
    with Connection(broker_url) as connection:
        count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        return count


def count_consumers(broker_url: str) -> int:
    with Connection(broker_url) as connection:
        count: int = connection.default_channel.queue_declare("orders", passive=True).consumer_count
        return count


def is_listening(database: Database) -> bool:
    with database.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        return bool(session.scalar(text(query)))
