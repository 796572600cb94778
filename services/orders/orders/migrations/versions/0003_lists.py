"""Indexes for every list of orders and disputes, for the review policy and for the reconciliation.

Lists are sorted by `created_at` and `id`, so each index of a filter has both. An index without them is replaced.
"""

from events.database.indexes import create_index, drop_index

revision = "0003"
down_revision = "0002"

NEWEST_FIRST = ("created_at", "id")
CLOSED_DISPUTES = "'warning_closed','prevented','charge_refunded','won','lost'"
FINAL_REFUNDS = "'succeeded','canceled','failed'"
INDEXES = (
    ("ix_orders_created_at_id", "orders", NEWEST_FIRST, None),
    ("ix_orders_status_created_at", "orders", ("status", *NEWEST_FIRST), None),
    ("ix_orders_fulfillment_status_created_at", "orders", ("fulfillment_status", *NEWEST_FIRST), None),
    ("ix_orders_customer_created_at", "orders", ("customer_email_key", *NEWEST_FIRST), None),
    ("ix_orders_refunded", "orders", ("refund_status", *NEWEST_FIRST), "refund_status <> 'none'"),
    ("ix_orders_disputed", "orders", ("dispute_status", *NEWEST_FIRST), "dispute_status <> 'none'"),
    ("ix_orders_review", "orders", NEWEST_FIRST, "needs_review"),
    ("ix_orders_to_ship", "orders", NEWEST_FIRST, "pieces_owed > 0"),
    ("ix_orders_paid_at", "orders", ("paid_at",), "paid_at IS NOT NULL"),
    ("ix_refunds_under_way", "refunds", ("id",), f"status NOT IN ({FINAL_REFUNDS})"),
    ("ix_disputes_opened_at", "disputes", ("opened_at",), None),
    ("ix_disputes_status_at", "disputes", ("status_at",), None),
    ("ix_disputes_evidence_due_by_id", "disputes", ("evidence_due_by", "id"), None),
    ("ix_disputes_not_closed", "disputes", ("evidence_due_by", "id"), f"status NOT IN ({CLOSED_DISPUTES})"),
)
REPLACED = {
    "ix_orders_created_at": "created_at",
    "ix_orders_customer_email_key": "customer_email_key",
    "ix_orders_dispute_status": "dispute_status",
    "ix_orders_refund_status": "refund_status",
    "ix_orders_status": "status",
}


def upgrade() -> None:
    for name, table, columns, where in INDEXES:
        create_index(name, table, columns, where=where)
    for name in ("ix_orders_owed", *REPLACED):
        drop_index(name, "orders")


def downgrade() -> None:
    for name, column in REPLACED.items():
        create_index(name, "orders", [column])
    create_index("ix_orders_owed", "orders", ["id"], where="pieces_owed > 0")
    for name, table, *_ in reversed(INDEXES):
        drop_index(name, table)
