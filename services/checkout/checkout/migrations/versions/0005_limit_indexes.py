"""Indexes for the limits by status: ended checkouts keep their keys while their cart can be recovered."""

from events.database.indexes import create_index, drop_index

revision = "0005"
down_revision = "0004"

INDEXES = {"client_key": ("client_key", "status", "id"), "email_key": ("email_key", "status")}


def upgrade() -> None:
    for key, columns in INDEXES.items():
        create_index(f"ix_checkouts_{key}_status", "checkouts", columns, where=f"{key} IS NOT NULL")
        drop_index(f"ix_checkouts_{key}", "checkouts")  # the new one serves the previous release, too


def downgrade() -> None:
    for key in reversed(INDEXES):
        create_index(f"ix_checkouts_{key}", "checkouts", [key], where=f"{key} IS NOT NULL")
        drop_index(f"ix_checkouts_{key}_status", "checkouts")
