"""Since when an order's customer is forgotten."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("orders", sa.Column("erased_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "erased_at")
