"""Discounts with limits and their uses, taxes by product, shipping by country, what Stripe's page asks for.

The new columns have defaults: processes of the release before go on writing rows without them.
"""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ADDED = {
    "product": ("tax_behavior", "tax_rates"),
    "discount": ("minimums", "starts_at", "ends_at", "limit_total", "limit_per_email"),
    "shipping_option": ("countries", "tax_behavior"),
    "checkout": ("page", "payment"),
}


def upgrade() -> None:
    with op.batch_alter_table("product") as table:
        table.add_column(_tax_behavior())
        table.add_column(sa.Column("tax_rates", Json(), nullable=False, server_default="[]"))
    with op.batch_alter_table("discount") as table:
        table.add_column(sa.Column("minimums", Json(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("starts_at", UtcDateTime()))
        table.add_column(sa.Column("ends_at", UtcDateTime()))
        table.add_column(sa.Column("limit_total", sa.Integer()))
        table.add_column(sa.Column("limit_per_email", sa.Integer()))
        table.create_check_constraint(op.f("ck_discount_limit_total"), "limit_total > 0")
        table.create_check_constraint(op.f("ck_discount_limit_per_email"), "limit_per_email > 0")
    with op.batch_alter_table("shipping_option") as table:
        table.add_column(sa.Column("countries", Json(), nullable=False, server_default="[]"))
        table.add_column(_tax_behavior())
    with op.batch_alter_table("checkout") as table:
        table.add_column(sa.Column("page", Json(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("payment", sa.String(16)))
        table.create_check_constraint(op.f("ck_checkout_payment"), "payment IN ('pending','failed','paid')")
    op.create_table(
        "discount_use",
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("email", sa.String(320)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_discount_use")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkout.id"], name=op.f("fk_discount_use_checkout_id_checkout")),
        sa.ForeignKeyConstraint(["code"], ["discount.code"], name=op.f("fk_discount_use_code_discount")),
        sa.CheckConstraint("status IN ('held','used','released')", name=op.f("ck_discount_use_status")),
    )
    op.create_index("ix_discount_use_code_status", "discount_use", ["code", "status"])
    op.create_index("ix_discount_use_code_email", "discount_use", ["code", "email"])


def downgrade() -> None:
    op.drop_table("discount_use")
    with op.batch_alter_table("discount") as table:
        table.drop_constraint(op.f("ck_discount_limit_total"), type_="check")
        table.drop_constraint(op.f("ck_discount_limit_per_email"), type_="check")
    with op.batch_alter_table("checkout") as table:
        table.drop_constraint(op.f("ck_checkout_payment"), type_="check")
    for name, columns in ADDED.items():
        with op.batch_alter_table(name) as table:
            for column in columns:
                table.drop_column(column)


def _tax_behavior() -> "sa.Column[str]":
    return sa.Column("tax_behavior", sa.String(16), nullable=False, server_default="inclusive")
