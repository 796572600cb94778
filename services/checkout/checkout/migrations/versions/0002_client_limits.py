"""Columns for the limits of unpaid checkouts: hashes of the client, and the number of pieces."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
KEYS = ("client_key", "email_key")


def upgrade() -> None:
    op.add_column("checkouts", sa.Column("pieces", sa.Integer(), server_default="0", nullable=False))
    for key in KEYS:
        op.add_column("checkouts", sa.Column(key, sa.String(length=64), nullable=True))


def downgrade() -> None:
    for key in reversed(KEYS):
        op.drop_column("checkouts", key)
    op.drop_column("checkouts", "pieces")
