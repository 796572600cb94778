"""A column for the time at which an operator released a reservation. Its pieces are then never held again."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("reservations", sa.Column("operator_released_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("reservations", "operator_released_at")
