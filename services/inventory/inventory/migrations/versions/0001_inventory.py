"""The stock items, the reservations and the movements."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stock_items",
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("is_low", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.CheckConstraint("on_hand >= 0", name=op.f("ck_stock_items_on_hand")),
        sa.CheckConstraint("reserved >= 0 AND reserved <= on_hand", name=op.f("ck_stock_items_reserved")),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_stock_items")),
    )
    op.create_table(
        "reservations",
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('held','committed','released','expired')", name=op.f("ck_reservations_status")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_reservations")),
    )
    held = sa.text("status = 'held'")
    op.create_index(
        "ix_reservations_held_expires_at", "reservations", ["expires_at"], postgresql_where=held, sqlite_where=held
    )
    op.create_table(
        "reservation_lines",
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservation_lines_quantity")),
        sa.CheckConstraint("missing >= 0 AND missing <= quantity", name=op.f("ck_reservation_lines_missing")),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["reservations.checkout_id"], name=op.f("fk_reservation_lines_checkout_id_reservations")
        ),
        sa.ForeignKeyConstraint(["sku"], ["stock_items.sku"], name=op.f("fk_reservation_lines_sku_stock_items")),
        sa.PrimaryKeyConstraint("checkout_id", "sku", name=op.f("pk_reservation_lines")),
    )
    op.create_table(
        "movements",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("checkout_id", sa.String(64)),
        sa.Column("return_id", sa.String(64)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('opening','sale','return','adjustment')", name=op.f("ck_movements_kind")),
        sa.ForeignKeyConstraint(["sku"], ["stock_items.sku"], name=op.f("fk_movements_sku_stock_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
        sa.UniqueConstraint("return_id", "sku", name=op.f("uq_movements_return_id_sku")),
    )
    sale = sa.text("kind = 'sale'")
    op.create_index(
        "uq_movements_sale",
        "movements",
        ["checkout_id", "sku"],
        unique=True,
        postgresql_where=sale,
        sqlite_where=sale,
    )
    op.create_index("ix_movements_checkout_id", "movements", ["checkout_id"])
    op.create_index("ix_movements_sku_id", "movements", ["sku", "id"])


def downgrade() -> None:
    for table in ("movements", "reservation_lines", "reservations", "stock_items"):
        op.drop_table(table)
