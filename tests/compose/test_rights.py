"""The rights of each service's users in broker and database, as the servers themselves grant them."""

import pytest

from .containers import CONSUMERS, SERVICES, python

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("system")]

BROKER_SCRIPT = """
import sys, pika
name, act, target = sys.argv[1:]
url = open(f"/run/secrets/{name}_broker_url").read().strip()
channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
channel.confirm_delivery()
acts = {
    "read": lambda: channel.basic_get(target),
    "publish": lambda: channel.basic_publish(target, "bound.to.no.queue", b"{}"),
    "declare": lambda: channel.queue_declare(target, durable=True),
    "purge": lambda: channel.queue_purge(target),
    "delete": lambda: channel.queue_delete(target),
    "bind": lambda: channel.queue_bind(target, "events", "#"),
}
try:
    acts[act]()
    print("allowed")
except pika.exceptions.ChannelClosedByBroker as error:
    print("refused" if error.reply_code == 403 else error)
"""

DATABASE_SCRIPT = """
import sys, psycopg
from sqlalchemy.engine import make_url
name, other = sys.argv[1:]
url = make_url(open(f"/run/secrets/{name}_database_url").read().strip())
try:
    with psycopg.connect(url.set(database=other).render_as_string(hide_password=False)) as connection:
        print(*connection.execute("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles"
                                  " WHERE rolname = current_user").fetchone())
except psycopg.OperationalError as error:
    print("refused" if "permission denied for database" in str(error) else error)
"""


def try_at_broker(service: str, act: str, target: str) -> str:
    return python(service, BROKER_SCRIPT, service, act, target)


@pytest.mark.parametrize("service", SERVICES)
def test_service_may_read_only_its_own_queues(service: str) -> None:
    others = [name for name in CONSUMERS if name != service]

    assert {try_at_broker(service, "read", name) for name in others} == {"refused"}
    assert {try_at_broker(service, "purge", name) for name in others} == {"refused"}
    if service in CONSUMERS:
        assert try_at_broker(service, "read", f"{service}.dead") == "allowed"


@pytest.mark.parametrize("service", SERVICES)
def test_only_publishing_services_may_publish(service: str) -> None:
    assert try_at_broker(service, "publish", "events") == ("refused" if service == "notifications" else "allowed")
    assert try_at_broker(service, "publish", "events.dead") == "refused"


@pytest.mark.parametrize("service", SERVICES)
def test_service_may_not_change_the_topology(service: str) -> None:
    assert try_at_broker(service, "declare", "made-up") == "refused"
    assert try_at_broker(service, "delete", "orders") == "refused"
    assert try_at_broker(service, "bind", "orders") == "refused"


@pytest.mark.parametrize("service", CONSUMERS)
def test_role_may_use_only_its_own_database(service: str) -> None:
    answers = {other: python(service, DATABASE_SCRIPT, service, other) for other in [*CONSUMERS, "postgres"]}

    assert answers.pop(service) == "False False False"
    assert set(answers.values()) == {"refused"}, answers
