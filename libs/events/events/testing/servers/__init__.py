"""Real PostgreSQL and RabbitMQ for tests.

The shared ones are taken, in this order, from TEST_DATABASE_URL / TEST_BROKER_URL; Docker, through testcontainers;
server programs on this machine, started privately on free ports in a temporary folder. Private ones, which a test may
break, come from the last two. TEST_SERVERS=docker or =local leaves no choice. `Unavailable` where there is none.
"""

from events.testing.servers.choice import postgres, private_cluster, private_postgres, private_rabbitmq, rabbitmq, used
from events.testing.servers.server import Server, Unavailable
from events.testing.servers.waiting import START_WITHIN, free_port, wait_until

__all__ = [
    "START_WITHIN",
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
