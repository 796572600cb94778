"""Since when a purchase's customer is forgotten."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("purchases", sa.Column("erased_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("purchases", "erased_at")
