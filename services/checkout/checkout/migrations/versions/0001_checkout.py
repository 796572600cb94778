"""The tables of the checkout service."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "checkouts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("check_at", UtcDateTime(), nullable=True),
        sa.Column("reserved_at", UtcDateTime(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_subtotal", sa.BigInteger(), nullable=False),
        sa.Column("amount_discount", sa.BigInteger(), nullable=False),
        sa.Column("amount_shipping", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("shipping", Json(), nullable=True),
        sa.Column("discount_code", sa.String(length=40), nullable=True),
        sa.Column("customer_email", sa.String(length=320), nullable=True),
        sa.Column("locale", sa.String(length=16), nullable=True),
        sa.Column("success_url", sa.Text(), nullable=False),
        sa.Column("cancel_url", sa.Text(), nullable=False),
        sa.Column("automatic_tax", sa.Boolean(), nullable=False),
        sa.Column(
            "session_options",
            Json(),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("payment_status", sa.String(length=16), nullable=True),
        sa.Column(
            "shipping_options",
            Json(),
            server_default="[]",
            nullable=False,
        ),
        sa.Column(
            "session_payments",
            Json(),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("pending_at", UtcDateTime(), nullable=True),
        sa.Column("coupon_ends_at", UtcDateTime(), nullable=True),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.CheckConstraint("payment_status IN ('pending','failed','paid')", name=op.f("ck_checkouts_payment_status")),
        sa.CheckConstraint(
            "status IN ('new','open','complete','expired','canceled','abandoned')", name=op.f("ck_checkouts_status")
        ),
        sa.CheckConstraint(
            "amount_total = amount_subtotal - amount_discount + amount_shipping", name=op.f("ck_checkouts_sum")
        ),
        sa.CheckConstraint("amount_total >= 0", name=op.f("ck_checkouts_amount_total")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_checkouts_idempotency_key")),
        sa.UniqueConstraint("session_id", name=op.f("uq_checkouts_session_id")),
    )
    op.create_index(
        "ix_checkouts_check_at",
        "checkouts",
        ["check_at"],
        unique=False,
        postgresql_where=sa.text("check_at IS NOT NULL"),
    )
    op.create_index(
        "ix_checkouts_coupon_ends_at",
        "checkouts",
        ["coupon_ends_at"],
        unique=False,
        postgresql_where=sa.text("coupon_ends_at IS NOT NULL"),
    )
    op.create_index("ix_checkouts_status_id", "checkouts", ["status", "id"], unique=False)
    op.create_table(
        "discounts",
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("percent_off", sa.Integer(), nullable=True),
        sa.Column("amounts_off", Json(), nullable=True),
        sa.Column(
            "minimums",
            Json(),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("starts_at", UtcDateTime(), nullable=True),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("limit_total", sa.Integer(), nullable=True),
        sa.Column("limit_per_email", sa.Integer(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("limit_per_email > 0", name=op.f("ck_discounts_limit_per_email")),
        sa.CheckConstraint("limit_total > 0", name=op.f("ck_discounts_limit_total")),
        sa.CheckConstraint("percent_off BETWEEN 1 AND 100", name=op.f("ck_discounts_percent_off")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_discounts")),
    )
    op.create_table(
        "products",
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("group", sa.String(length=64), nullable=False),
        sa.Column("size", sa.String(length=16), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("prices", Json(), nullable=False),
        sa.Column("tax_code", sa.String(length=32), nullable=True),
        sa.Column("tax_behavior", sa.String(length=16), server_default="inclusive", nullable=False),
        sa.Column(
            "tax_rates",
            Json(),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("tax_behavior IN ('inclusive','exclusive')", name=op.f("ck_products_tax_behavior")),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_products")),
    )
    op.create_table(
        "shipping_options",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("amounts", Json(), nullable=False),
        sa.Column("free_from", Json(), nullable=False),
        sa.Column(
            "countries",
            Json(),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("tax_behavior", sa.String(length=16), server_default="inclusive", nullable=False),
        sa.Column("min_days", sa.Integer(), nullable=False),
        sa.Column("max_days", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("tax_behavior IN ('inclusive','exclusive')", name=op.f("ck_shipping_options_tax_behavior")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipping_options")),
    )
    op.create_table(
        "discount_uses",
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.CheckConstraint("status IN ('held','used','released')", name=op.f("ck_discount_uses_status")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("fk_discount_uses_checkout_id_checkouts")),
        sa.ForeignKeyConstraint(["code"], ["discounts.code"], name=op.f("fk_discount_uses_code_discounts")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_discount_uses")),
    )
    op.create_index("ix_discount_uses_code_email", "discount_uses", ["code", "email"], unique=False)
    op.create_index("ix_discount_uses_code_status", "discount_uses", ["code", "status"], unique=False)


def downgrade() -> None:
    op.drop_table("discount_uses")
    op.drop_table("shipping_options")
    op.drop_table("products")
    op.drop_table("discounts")
    op.drop_table("checkouts")
