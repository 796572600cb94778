"""What was told of one checkout, found without reading a week of events."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_outbox_correlation_id", "outbox", ["correlation_id"])


def downgrade() -> None:
    op.drop_index("ix_outbox_correlation_id", table_name="outbox")
