"""An index for pruning. The processes notify after their commits, so the trigger is dropped.

NOTIFY within the transaction made all commits of the cluster wait for each other. A process of the previous release
still works without the trigger: its events wait for the relay's next poll, at most 5 s.
"""

from alembic import op
from events.database.indexes import create_index, drop_index, is_postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if is_postgresql():
        op.execute("DROP TRIGGER IF EXISTS notify_outbox ON outbox")
        op.execute("DROP FUNCTION IF EXISTS notify_outbox()")
    create_index("ix_outbox_published_at", "outbox", ["published_at"], where="published_at IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_outbox_published_at", "outbox")
    if is_postgresql():
        op.execute(
            "CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER notify_outbox AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()"
        )
