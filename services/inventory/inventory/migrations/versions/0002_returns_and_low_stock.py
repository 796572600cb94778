"""Returns in the ledger, and whether staff were told that a sku runs low."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KIND = "ck_movements_kind"
SOLD_ONCE = "uq_movements_checkout_id_sku_kind"
SALE = sa.text("kind = 'sale'")


def upgrade() -> None:
    with op.batch_alter_table("stock") as table:
        table.add_column(sa.Column("is_low", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE movements SET kind = 'adjustment' WHERE kind = 'restock'")
    with op.batch_alter_table("movements") as table:
        table.add_column(sa.Column("return_id", sa.String(64)))
        table.drop_constraint(op.f(KIND), type_="check")
        table.create_check_constraint(op.f(KIND), "kind IN ('opening','sale','return','adjustment')")
        table.drop_constraint(op.f(SOLD_ONCE), type_="unique")
        table.create_unique_constraint(op.f("uq_movements_return_id_sku"), ["return_id", "sku"])
    op.create_index(
        "uq_movements_sale",
        "movements",
        ["checkout_id", "sku"],
        unique=True,
        postgresql_where=SALE,
        sqlite_where=SALE,
    )
    op.create_index("ix_movements_checkout_id", "movements", ["checkout_id"])


def downgrade() -> None:
    """Returns cannot be told apart in the older ledger: they become adjustments."""
    op.drop_index("ix_movements_checkout_id", "movements")
    op.drop_index("uq_movements_sale", "movements")
    op.execute("UPDATE movements SET kind = 'adjustment', checkout_id = NULL WHERE kind = 'return'")
    with op.batch_alter_table("movements") as table:
        table.drop_constraint(op.f("uq_movements_return_id_sku"), type_="unique")
        table.create_unique_constraint(op.f(SOLD_ONCE), ["checkout_id", "sku", "kind"])
        table.drop_constraint(op.f(KIND), type_="check")
        table.create_check_constraint(op.f(KIND), "kind IN ('opening','sale','restock','adjustment')")
        table.drop_column("return_id")
    with op.batch_alter_table("stock") as table:
        table.drop_column("is_low")
