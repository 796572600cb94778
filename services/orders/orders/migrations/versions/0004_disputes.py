"""Add sums and times of disputes, open refund statuses, Stripe's fraud warnings, addresses and refund lookups."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from events.database import checks
from events.database.types import Json, UtcDateTime
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, type_ in columns.items():
            op.add_column(table, sa.Column(name, type_))
    op.add_column("orders", sa.Column("needs_address", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "refund_lookups",
        sa.Column("payment_id", sa.String(255), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_lookups_order_id_orders")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_refund_lookups")),
    )
    op.create_index(op.f("ix_refund_lookups_next_attempt_at"), "refund_lookups", ["next_attempt_at"])
    for table, column in REASONS:
        checks.allow_values(table, column, *NEW_REASONS)
    checks.allow_values("timeline_entries", "kind", *NEW_ENTRY_KINDS)
    checks.allow_any_value("refunds", "status")
    checks.allow_any_value("refund_requests", "status")
    for table, before in WIDENED:
        checks.widen_text(table, "status", before, STATUS_LENGTH)


def downgrade() -> None:
    for table, before in WIDENED:
        checks.widen_text(table, "status", STATUS_LENGTH, before)
    checks.allow_only("refund_requests", "status", "requested", *REFUND_STATUSES)
    checks.allow_only("refunds", "status", *REFUND_STATUSES)
    checks.disallow_values("timeline_entries", "kind", *NEW_ENTRY_KINDS)
    for table, column in REASONS:
        checks.disallow_values(table, column, *NEW_REASONS)
    op.drop_index(op.f("ix_refund_lookups_next_attempt_at"), "refund_lookups")
    op.drop_table("refund_lookups")
    op.drop_column("orders", "needs_address")
    for table, columns in ADDED.items():
        for name in columns:
            op.drop_column(table, name)


STATUS_LENGTH = 64  # characters: Stripe may add longer statuses than the present ones
WIDENED = (("refunds", 16), ("refund_requests", 16), ("disputes", 32))
REASONS = (("orders", "review_reason"), ("reviews", "reason"))
NEW_REASONS = ("missing-address", "radar-review", "early-fraud-warning")
NEW_ENTRY_KINDS = ("refund-status", "radar", "address-added")
REFUND_STATUSES = ("requires_action", "pending", "succeeded", "canceled", "failed")
ADDED: dict[str, dict[str, TypeEngine[Any]]] = {
    "disputes": {
        "status_at": UtcDateTime(),
        "movements": Json(),
        "amount_withdrawn": sa.BigInteger(),
        "amount_reinstated": sa.BigInteger(),
        "amount_held": sa.BigInteger(),
    },
    "refunds": {"status_at": UtcDateTime()},
}
