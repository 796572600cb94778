"""Add what the goods need: owed pieces, cancellations, returns to the shelf, charged lines, idempotency keys."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"

FULFILLMENT_STATUSES = ("unfulfilled", "partial", "fulfilled")


def upgrade() -> None:
    op.add_column("orders", sa.Column("pieces_owed", sa.Integer(), server_default="0", nullable=False))
    op.add_column("orders", sa.Column("fulfillment_canceled_at", UtcDateTime()))
    op.add_column("order_lines", sa.Column("charged_total", sa.BigInteger()))
    op.add_column("payments", sa.Column("shipping_total", sa.BigInteger()))
    op.add_column("shipments", sa.Column("override", sa.Text()))
    op.create_table(
        "stock_returns",
        sa.Column("return_id", sa.String(64), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("shipped", sa.Integer(), nullable=False),
        sa.Column("unshipped", sa.Integer(), nullable=False),
        sa.Column("returned_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_stock_returns_order_id_orders")),
        sa.PrimaryKeyConstraint("return_id", "sku", name=op.f("pk_stock_returns")),
    )
    op.create_index(op.f("ix_stock_returns_order_id"), "stock_returns", ["order_id"])
    op.create_table(
        "operator_acts",
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("acted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_operator_acts_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "idempotency_key", name=op.f("pk_operator_acts")),
    )
    owed = sa.text("pieces_owed > 0")
    op.create_index("ix_orders_owed", "orders", ["id"], postgresql_where=owed, sqlite_where=owed)
    _allow_fulfillment_statuses(FULFILLMENT_STATUSES, (*FULFILLMENT_STATUSES, "canceled"))


def downgrade() -> None:
    op.execute("UPDATE orders SET fulfillment_status = 'unfulfilled' WHERE fulfillment_status = 'canceled'")
    _allow_fulfillment_statuses((*FULFILLMENT_STATUSES, "canceled"), FULFILLMENT_STATUSES)
    op.drop_index("ix_orders_owed", "orders")
    op.drop_table("operator_acts")
    op.drop_table("stock_returns")
    op.drop_column("shipments", "override")
    op.drop_column("payments", "shipping_total")
    op.drop_column("order_lines", "charged_total")
    op.drop_column("orders", "fulfillment_canceled_at")
    op.drop_column("orders", "pieces_owed")


def _allow_fulfillment_statuses(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Replace the check constraint. SQLite cannot alter one, so its stored text is edited, as SQLite documents."""
    old, new = (_one_of(values) for values in (before, after))
    name = "ck_orders_fulfillment_status"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f(name), "orders")
        op.create_check_constraint(op.f(name), "orders", new)
        return
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = 'orders'"),
        {"old": old, "new": new},
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")  # connections read the schema again
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def _one_of(values: tuple[str, ...]) -> str:
    listed = ",".join(f"'{value}'" for value in values)
    return f"fulfillment_status IN ({listed})"
