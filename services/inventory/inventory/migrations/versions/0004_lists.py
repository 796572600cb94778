"""Indexes for every filter of the reservations, and for skus whose stock is low."""

from events.database.indexes import create_index, drop_index

revision = "0004"
down_revision = "0003"

INDEXES = (
    ("ix_reservations_status_checkout_id", "reservations", ("status", "checkout_id"), None),
    ("ix_reservations_expires_at", "reservations", ("expires_at",), None),
    ("ix_reservation_lines_sku_checkout_id", "reservation_lines", ("sku", "checkout_id"), None),
    ("ix_reservation_sessions_pending", "reservation_sessions", ("checkout_id",), "status = 'pending'"),
    ("ix_stock_items_low", "stock_items", ("sku",), "is_low"),
)


def upgrade() -> None:
    for name, table, columns, where in INDEXES:
        create_index(name, table, columns, where=where)


def downgrade() -> None:
    for name, table, *_ in reversed(INDEXES):
        drop_index(name, table)
