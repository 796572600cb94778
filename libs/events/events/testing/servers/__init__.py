"""Real PostgreSQL and RabbitMQ servers for tests.

Shared servers come from the first of these that is available: TEST_DATABASE_URL and TEST_BROKER_URL; Docker, through
testcontainers; server programs on this machine, started privately on free ports in a temporary folder. Private servers,
which a test may break, come from the last two. TEST_SERVERS=docker or TEST_SERVERS=local selects one of them.
"""

from events.testing.ports import free_port
from events.testing.servers.choice import postgres, private_cluster, private_postgres, private_rabbitmq, rabbitmq, used
from events.testing.servers.server import Server, Unavailable
from events.testing.waiting import wait_until

__all__ = [
    "Server",
    "Unavailable",
    "free_port",
    "postgres",
    "private_cluster",
    "private_postgres",
    "private_rabbitmq",
    "rabbitmq",
    "used",
    "wait_until",
]
