from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from events.database.migrations import downgrade, migrate
from notifications.models import CHAINS, Base
from sqlalchemy import inspect, text

CHAIN = CHAINS[-1]


def _is_ours(name, kind, parents):
    return kind != "table" or name in Base.metadata.tables


def test_migrations_lead_to_the_models(any_database):
    database = any_database(CHAINS)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours})
        assert compare_metadata(context, Base.metadata) == []


def test_up_down_up(any_database):
    database = any_database(CHAINS)
    downgrade(database, CHAIN)
    assert not set(Base.metadata.tables) & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert set(Base.metadata.tables) <= set(inspect(database.engine).get_table_names())


OLD = """INSERT INTO emails (id, kind, checkout_id, subject_key, context, status, attempts, created_at, resend_of)
 VALUES (:id, 'order_confirmed', 'chk_1', :key, '{}', 'sent', 1, '2026-05-04 10:12:00+00:00', :resend_of)"""
NEW = """INSERT INTO emails (id, kind, subject_key, context, status, attempts, created_at, digest_id, resend_of)
 VALUES (:id, 'staff_stock_low', :key, '{}', 'collected', 0, '2026-05-04 10:12:00+00:00', 'new1', :resend_of)"""


def test_mails_and_their_links_live_through_the_second_revision_and_back(any_database):
    database = any_database(CHAINS)
    downgrade(database, CHAIN, "0001")
    with database.begin() as session:
        session.execute(text("INSERT INTO purchases (checkout_id) VALUES ('chk_1')"))
        for row in ({"id": "a", "key": "a", "resend_of": None}, {"id": "b", "key": "b", "resend_of": "a"}):
            session.execute(text(OLD), row)
    migrate(database, CHAINS)
    with database.begin() as session:
        for row in (
            {"id": "new1", "key": "new1", "resend_of": None},
            {"id": "new2", "key": "new2", "resend_of": "new1"},
        ):
            session.execute(text(NEW), row)
    downgrade(database, CHAIN, "0001")
    with database.read() as session:
        kept = session.execute(text("SELECT id, resend_of FROM emails ORDER BY id")).all()
    assert [tuple(row) for row in kept] == [("a", None), ("b", "a")]
