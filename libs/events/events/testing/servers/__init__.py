"""Real PostgreSQL and RabbitMQ servers for tests.

Shared servers come from the first of these that is available: TEST_DATABASE_URL and TEST_BROKER_URL; Docker, through
testcontainers; server programs on this machine, started privately on free ports in a temporary folder. Private servers,
which a test may break, come from the last two. TEST_SERVERS=docker or TEST_SERVERS=local selects one of them.
"""
