"""The trace that a checkout began: a repeat sends Stripe the same."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkout", sa.Column("traceparent", sa.String(64)))


def downgrade() -> None:
    op.drop_column("checkout", "traceparent")
