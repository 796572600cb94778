"""Since when an order's customer is forgotten."""

import sqlalchemy as sa
from alembic import op
from events.database import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("orders", sa.Column("forgotten_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "forgotten_at")
