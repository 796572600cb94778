"""An index of unhandled events that still have their payload, for the job that drops it."""

from events.database.indexes import create_index, drop_index

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_index("ix_inbox_unhandled", "inbox", ["received_at"], where="status = 'ignored' AND body IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_inbox_unhandled", "inbox")
