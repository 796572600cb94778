"""Indexes for every filter of the inbox, for its pruning and for the audit. Done events need no status index."""

from events.database.indexes import create_index, drop_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_index("ix_inbox_received_at", "inbox", ["received_at"])
    create_index("ix_inbox_routing_key", "inbox", ["routing_key"])
    create_index("ix_inbox_not_done", "inbox", ["status", "received_at", "event_id"], where="status <> 'done'")
    failed = "error IS NOT NULL AND status <> 'ignored'"
    create_index("ix_inbox_error", "inbox", ["received_at", "event_id"], where=failed)
    create_index("ix_inbox_audit_entries_event_id_id", "inbox_audit_entries", ["event_id", "id"])
    drop_index("ix_inbox_status_received_at", "inbox")


def downgrade() -> None:
    create_index("ix_inbox_status_received_at", "inbox", ["status", "received_at"])
    drop_index("ix_inbox_audit_entries_event_id_id", "inbox_audit_entries")
    drop_index("ix_inbox_error", "inbox")
    drop_index("ix_inbox_not_done", "inbox")
    drop_index("ix_inbox_routing_key", "inbox")
    drop_index("ix_inbox_received_at", "inbox")
