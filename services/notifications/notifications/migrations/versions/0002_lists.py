"""Indexes for every filter of the e-mails. Lists are sorted by `created_at` and `id`, so each index has both."""

from events.database.indexes import create_index, drop_index

revision = "0002"
down_revision = "0001"

NEWEST_FIRST = ("created_at", "id")
INDEXES = {
    "ix_emails_created_at_id": (NEWEST_FIRST, None),
    "ix_emails_status_created_at": (("status", *NEWEST_FIRST), None),
    "ix_emails_kind_created_at": (("kind", *NEWEST_FIRST), None),
    "ix_emails_recipient_created_at": (("recipient", *NEWEST_FIRST), None),
    "ix_emails_digest_id": (("digest_id", *NEWEST_FIRST), "digest_id IS NOT NULL"),
    "ix_emails_error": (NEWEST_FIRST, "error IS NOT NULL AND status <> 'suppressed'"),
}
REPLACED = {"ix_emails_status_id": ("status", "id"), "ix_emails_recipient": ("recipient",)}


def upgrade() -> None:
    for name, (columns, where) in INDEXES.items():
        create_index(name, "emails", columns, where=where)
    for name in REPLACED:
        drop_index(name, "emails")


def downgrade() -> None:
    for name, columns in REPLACED.items():
        create_index(name, "emails", columns)
    for name in reversed(INDEXES):
        drop_index(name, "emails")
