"""The tables of the inventory service."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "reservations",
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("notified_expires_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("status IN ('held','committed','released','expired')", name=op.f("ck_reservations_status")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_reservations")),
    )
    op.create_index(
        "ix_reservations_held_expires_at",
        "reservations",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'held'"),
        sqlite_where=sa.text("status = 'held'"),
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
    )
    op.create_table(
        "stock_changes",
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("pk_stock_changes")),
    )
    op.create_table(
        "stock_items",
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("is_low", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("on_hand >= 0", name=op.f("ck_stock_items_on_hand")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_items_reserved")),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_stock_items")),
    )
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("checkout_id", sa.String(length=64), nullable=True),
        sa.Column("return_id", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('opening','sale','return','adjustment')", name=op.f("ck_movements_kind")),
        sa.ForeignKeyConstraint(["sku"], ["stock_items.sku"], name=op.f("fk_movements_sku_stock_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
        sa.UniqueConstraint("return_id", "sku", name=op.f("uq_movements_return_id_sku")),
    )
    op.create_index("ix_movements_checkout_id", "movements", ["checkout_id"], unique=False)
    op.create_index("ix_movements_sku_id", "movements", ["sku", "id"], unique=False)
    op.create_index(
        "uq_movements_sale",
        "movements",
        ["checkout_id", "sku"],
        unique=True,
        postgresql_where=sa.text("kind = 'sale'"),
        sqlite_where=sa.text("kind = 'sale'"),
    )
    op.create_table(
        "reservation_lines",
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("shipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unshipped", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("missing >= 0 AND missing <= quantity", name=op.f("ck_reservation_lines_missing")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservation_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["reservations.checkout_id"], name=op.f("fk_reservation_lines_checkout_id_reservations")
        ),
        sa.ForeignKeyConstraint(["sku"], ["stock_items.sku"], name=op.f("fk_reservation_lines_sku_stock_items")),
        sa.PrimaryKeyConstraint("checkout_id", "sku", name=op.f("pk_reservation_lines")),
    )
    op.create_index(
        "ix_reservation_lines_unshipped",
        "reservation_lines",
        ["sku"],
        unique=False,
        postgresql_where=sa.text("unshipped > 0"),
        sqlite_where=sa.text("unshipped > 0"),
    )
    op.create_table(
        "reservation_sessions",
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("payment_status", sa.String(length=64), nullable=True),
        sa.Column("reported_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('expired','pending','failed','paid')", name=op.f("ck_reservation_sessions_status")
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["reservations.checkout_id"], name=op.f("fk_reservation_sessions_checkout_id_reservations")
        ),
        sa.PrimaryKeyConstraint("checkout_id", "session_id", name=op.f("pk_reservation_sessions")),
    )


def downgrade() -> None:
    op.drop_table("reservation_sessions")
    op.drop_table("reservation_lines")
    op.drop_table("movements")
    op.drop_table("stock_items")
    op.drop_table("stock_changes")
    op.drop_table("shipments")
    op.drop_table("reservations")
