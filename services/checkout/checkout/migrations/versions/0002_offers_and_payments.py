"""The offered shipping options, the payment status of each session, and the end of a checkout's coupon."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("checkouts", sa.Column("shipping_options", Json(), nullable=False, server_default="[]"))
    op.add_column("checkouts", sa.Column("session_payments", Json(), nullable=False, server_default="{}"))
    op.add_column("checkouts", sa.Column("pending_at", UtcDateTime()))
    op.add_column("checkouts", sa.Column("coupon_ends_at", UtcDateTime()))
    op.create_index("ix_checkouts_status_id", "checkouts", ["status", "id"])
    op.create_index(
        "ix_checkouts_coupon_ends_at",
        "checkouts",
        ["coupon_ends_at"],
        postgresql_where=sa.text("coupon_ends_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_checkouts_coupon_ends_at", "checkouts")
    op.drop_index("ix_checkouts_status_id", "checkouts")
    for column in ("coupon_ends_at", "pending_at", "session_payments", "shipping_options"):
        op.drop_column("checkouts", column)
