"""Checkouts whose customers are forgotten."""

import sqlalchemy as sa
from alembic import op
from events.database import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "forgotten",
        sa.Column("checkout_id", sa.String(255), nullable=False),
        sa.Column("forgotten_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("checkout_id", name="pk_forgotten"),
    )


def downgrade() -> None:
    op.drop_table("forgotten")
