"""The catalog, the checkouts and the uses of discounts."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("size", sa.String(16)),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("image", sa.Text()),
        sa.Column("prices", Json(), nullable=False),
        sa.Column("tax_code", sa.String(32)),
        sa.Column("tax_behavior", sa.String(16), nullable=False, server_default="inclusive"),
        sa.Column("tax_rates", Json(), nullable=False, server_default="[]"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_products"),
        sa.CheckConstraint("tax_behavior IN ('inclusive','exclusive')", name=op.f("ck_products_tax_behavior")),
    )
    op.create_table(
        "discounts",
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("percent_off", sa.Integer()),
        sa.Column("amounts_off", Json()),
        sa.Column("minimums", Json(), nullable=False, server_default="{}"),
        sa.Column("starts_at", UtcDateTime()),
        sa.Column("ends_at", UtcDateTime()),
        sa.Column("limit_total", sa.Integer()),
        sa.Column("limit_per_email", sa.Integer()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_discounts"),
        sa.CheckConstraint("percent_off BETWEEN 1 AND 100", name=op.f("ck_discounts_percent_off")),
        sa.CheckConstraint("limit_total > 0", name=op.f("ck_discounts_limit_total")),
        sa.CheckConstraint("limit_per_email > 0", name=op.f("ck_discounts_limit_per_email")),
    )
    op.create_table(
        "shipping_options",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("amounts", Json(), nullable=False),
        sa.Column("free_from", Json(), nullable=False),
        sa.Column("countries", Json(), nullable=False, server_default="[]"),
        sa.Column("tax_behavior", sa.String(16), nullable=False, server_default="inclusive"),
        sa.Column("min_days", sa.Integer(), nullable=False),
        sa.Column("max_days", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shipping_options"),
        sa.CheckConstraint("tax_behavior IN ('inclusive','exclusive')", name=op.f("ck_shipping_options_tax_behavior")),
    )
    op.create_table(
        "checkouts",
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
        sa.Column("session_options", Json(), nullable=False, server_default="{}"),
        sa.Column("payment_status", sa.String(16)),
        sa.Column("session_id", sa.String(255)),
        sa.Column("url", sa.Text()),
        sa.Column("livemode", sa.Boolean()),
        sa.Column("traceparent", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_checkouts"),
        sa.UniqueConstraint("idempotency_key", name="uq_checkouts_idempotency_key"),
        sa.UniqueConstraint("session_id", name="uq_checkouts_session_id"),
        sa.CheckConstraint(
            "status IN ('new','open','complete','expired','canceled','abandoned')",
            name=op.f("ck_checkouts_status"),
        ),
        sa.CheckConstraint(
            "amount_total = amount_subtotal - amount_discount + amount_shipping", name=op.f("ck_checkouts_sum")
        ),
        sa.CheckConstraint("amount_total >= 0", name=op.f("ck_checkouts_amount_total")),
        sa.CheckConstraint("payment_status IN ('pending','failed','paid')", name=op.f("ck_checkouts_payment_status")),
    )
    due = sa.text("check_at IS NOT NULL")
    op.create_index("ix_checkouts_check_at", "checkouts", ["check_at"], postgresql_where=due)
    op.create_table(
        "discount_uses",
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("email", sa.String(320)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("checkout_id", name="pk_discount_uses"),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name="fk_discount_uses_checkout_id_checkouts"),
        sa.ForeignKeyConstraint(["code"], ["discounts.code"], name="fk_discount_uses_code_discounts"),
        sa.CheckConstraint("status IN ('held','used','released')", name=op.f("ck_discount_uses_status")),
    )
    op.create_index("ix_discount_uses_code_status", "discount_uses", ["code", "status"])
    op.create_index("ix_discount_uses_code_email", "discount_uses", ["code", "email"])


def downgrade() -> None:
    for table in ("discount_uses", "checkouts", "shipping_options", "discounts", "products"):
        op.drop_table(table)
