"""The state of the scheduled reconciliation."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "job_watermarks",
        sa.Column("job_name", sa.String(length=64), nullable=False),
        sa.Column("reached_at", UtcDateTime(), nullable=False),
        sa.Column("succeeded_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("job_name", name=op.f("pk_job_watermarks")),
    )
    op.create_table(
        "open_differences",
        sa.Column("about_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=16), nullable=False),
        sa.Column("checkout_id", sa.String(length=255), nullable=False),
        sa.Column("repaired_by", sa.String(length=255), nullable=True),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("about_id", "kind", name=op.f("pk_open_differences")),
    )


def downgrade() -> None:
    op.drop_table("open_differences")
    op.drop_table("job_watermarks")
