"""The catalogue and the checkouts."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product",
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("size", sa.String(16)),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("image", sa.Text()),
        sa.Column("prices", Json(), nullable=False),
        sa.Column("tax_code", sa.String(32)),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_product"),
    )
    op.create_table(
        "discount",
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("percent_off", sa.Integer()),
        sa.Column("amounts_off", Json()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_discount"),
        sa.CheckConstraint("percent_off BETWEEN 1 AND 100", name=op.f("ck_discount_percent_off")),
    )
    op.create_table(
        "shipping_option",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("amounts", Json(), nullable=False),
        sa.Column("free_from", Json(), nullable=False),
        sa.Column("min_days", sa.Integer(), nullable=False),
        sa.Column("max_days", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shipping_option"),
    )
    op.create_table(
        "checkout",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("check_at", UtcDateTime()),
        sa.Column("reserved_at", UtcDateTime()),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_subtotal", sa.BigInteger(), nullable=False),
        sa.Column("amount_discount", sa.BigInteger(), nullable=False),
        sa.Column("amount_shipping", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("shipping", Json()),
        sa.Column("discount_code", sa.String(40)),
        sa.Column("customer_email", sa.String(320)),
        sa.Column("locale", sa.String(16)),
        sa.Column("success_url", sa.Text(), nullable=False),
        sa.Column("cancel_url", sa.Text(), nullable=False),
        sa.Column("automatic_tax", sa.Boolean(), nullable=False),
        sa.Column("session_id", sa.String(255)),
        sa.Column("url", sa.Text()),
        sa.Column("livemode", sa.Boolean()),
        sa.PrimaryKeyConstraint("id", name="pk_checkout"),
        sa.UniqueConstraint("idempotency_key", name="uq_checkout_idempotency_key"),
        sa.UniqueConstraint("session_id", name="uq_checkout_session_id"),
        sa.CheckConstraint(
            "status IN ('new','open','complete','expired','canceled','abandoned')",
            name=op.f("ck_checkout_status"),
        ),
        sa.CheckConstraint(
            "amount_total = amount_subtotal - amount_discount + amount_shipping", name=op.f("ck_checkout_sum")
        ),
        sa.CheckConstraint("amount_total >= 0", name=op.f("ck_checkout_amount_total")),
    )
    op.create_index("ix_checkout_check_at", "checkout", ["check_at"], postgresql_where=sa.text("check_at IS NOT NULL"))


def downgrade() -> None:
    for table in ("checkout", "shipping_option", "discount", "product"):
        op.drop_table(table)
