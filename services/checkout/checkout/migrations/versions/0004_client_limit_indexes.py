"""Indexes for the limits of unpaid checkouts, and for the list of a client's checkouts."""

from events.database.indexes import create_index, drop_index

revision = "0004"
down_revision = "0003"
KEYS = ("client_key", "email_key")


def upgrade() -> None:
    for key in KEYS:
        create_index(f"ix_checkouts_{key}", "checkouts", [key], where=f"{key} IS NOT NULL")


def downgrade() -> None:
    for key in reversed(KEYS):
        drop_index(f"ix_checkouts_{key}", "checkouts")
