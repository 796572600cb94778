"""Indexes for every filter of the list of checkouts."""

from events.database.indexes import create_index, drop_index

revision = "0003"
down_revision = "0002"

INDEXES = {
    "ix_checkouts_payment_status": (("payment_status", "status", "id"), "payment_status IS NOT NULL"),
    "ix_checkouts_customer_email": (("customer_email", "id"), "customer_email IS NOT NULL"),
    "ix_checkouts_discount_code": (("discount_code", "id"), "discount_code IS NOT NULL"),
}
LINES = "ix_checkouts_lines"  # for a sku; SQLite has no such kind of index, and reads the lines


def upgrade() -> None:
    for name, (columns, where) in INDEXES.items():
        create_index(name, "checkouts", columns, where=where)
    operators = {"lines": "jsonb_path_ops"}
    create_index(LINES, "checkouts", ["lines"], postgresql_using="gin", postgresql_ops=operators)


def downgrade() -> None:
    drop_index(LINES, "checkouts")
    for name in reversed(INDEXES):
        drop_index(name, "checkouts")
