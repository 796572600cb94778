"""The table of unpaid checkouts whose reserved pieces may be gone."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "doubted_reservations",
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("doubted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_doubted_reservations")),
    )


def downgrade() -> None:
    op.drop_table("doubted_reservations")
