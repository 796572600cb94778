"""The outbox. On PostgreSQL, a trigger notifies the relays that listen."""

import sqlalchemy as sa
from alembic import op
from events.database.indexes import is_postgresql
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("routing_key", sa.String(255), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("correlation_id", sa.String(255)),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("headers", Json(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("event_id", name="pk_outbox"),
    )
    unpublished = sa.text("published_at IS NULL")
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["event_id"],
        postgresql_where=unpublished,
        sqlite_where=unpublished,
    )
    op.create_index("ix_outbox_correlation_id", "outbox", ["correlation_id"])
    if is_postgresql():
        op.execute(
            "CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER notify_outbox AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()"
        )


def downgrade() -> None:
    op.drop_table("outbox")
    if is_postgresql():
        op.execute("DROP FUNCTION notify_outbox()")
