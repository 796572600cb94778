"""The inbox, its audit, the consumers' switch and the erased checkouts."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("routing_key", sa.String(255), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("correlation_id", sa.String(255)),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("headers", Json()),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("event_id", name="pk_inbox"),
        sa.CheckConstraint(
            "status IN ('done','ignored','waiting','retrying','failed','discarded')",
            name=op.f("ck_inbox_status"),
        ),
    )
    due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index("ix_inbox_due", "inbox", ["next_attempt_at"], postgresql_where=due)
    op.create_index("ix_inbox_status_received_at", "inbox", ["status", "received_at"])
    op.create_index("ix_inbox_correlation_id", "inbox", ["correlation_id"])
    op.create_table(
        "inbox_audit_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("acted_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("event_id", sa.String(255)),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_inbox_audit_entries"),
    )
    op.create_table(
        "consumer_controls",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_consumer_controls"),
    )
    op.create_table(
        "erased_checkouts",
        sa.Column("checkout_id", sa.String(255), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("checkout_id", name="pk_erased_checkouts"),
    )


def downgrade() -> None:
    op.drop_table("erased_checkouts")
    op.drop_table("consumer_controls")
    op.drop_table("inbox_audit_entries")
    op.drop_table("inbox")
