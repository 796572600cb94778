"""Create the tables of the orders service."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(255), nullable=False),
        sa.Column("payment_intent", sa.String(255)),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_subtotal", sa.BigInteger(), nullable=False),
        sa.Column("amount_discount", sa.BigInteger(), nullable=False),
        sa.Column("amount_shipping", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("promotion_codes", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("customer_email", sa.String(320)),
        sa.Column("customer_email_key", sa.String(320)),
        sa.Column("customer_name", sa.Text()),
        sa.Column("customer_phone", sa.Text()),
        sa.Column("shipping_name", sa.Text()),
        sa.Column("shipping_address", Json()),
        sa.Column("locale", sa.String(16)),
        sa.Column("recovery_url", sa.Text()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("refund_status", sa.String(16), server_default="none", nullable=False),
        sa.Column("dispute_status", sa.String(16), server_default="none", nullable=False),
        sa.Column("fulfillment_status", sa.String(16), server_default="unfulfilled", nullable=False),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("review_reason", sa.String(32)),
        sa.Column("review_detail", sa.Text()),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("pending_at", UtcDateTime()),
        sa.Column("paid_at", UtcDateTime()),
        sa.Column("failed_at", UtcDateTime()),
        sa.Column("expired_at", UtcDateTime()),
        sa.Column("canceled_at", UtcDateTime()),
        sa.Column("confirmed_at", UtcDateTime()),
        sa.Column("erased_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        _one_of("orders", "status", "open", "payment_pending", "paid", "payment_failed", "expired", "canceled"),
        _one_of("orders", "refund_status", "none", "partial", "full"),
        _one_of("orders", "dispute_status", "none", "inquiry", "open", "won", "lost"),
        _one_of("orders", "fulfillment_status", "unfulfilled", "partial", "fulfilled"),
        _one_of("orders", "review_reason", *REVIEW_REASONS),
        sa.CheckConstraint("needs_review = (review_reason IS NOT NULL)", name=op.f("ck_orders_review")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("number", name=op.f("uq_orders_number")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_orders_checkout_id")),
        sa.UniqueConstraint("session_id", name=op.f("uq_orders_session_id")),
    )
    op.create_table(
        "order_lines",
        _order_id(),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        _belongs_to_order("order_lines"),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_order_lines")),
    )
    op.create_table(
        "order_sessions",
        sa.Column("session_id", sa.String(255), nullable=False),
        _order_id(),
        _belongs_to_order("order_sessions"),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_order_sessions")),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.String(255), nullable=False),
        _order_id(),
        sa.Column("session_id", sa.String(255)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_tax", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _one_of("payments", "status", "pending", "succeeded", "failed"),
        _belongs_to_order("payments"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("id", sa.String(255), nullable=False),
        _order_id(),
        sa.Column("payment_intent", sa.String(255)),
        sa.Column("code", sa.String(64)),
        sa.Column("message", sa.Text()),
        sa.Column("attempted_at", UtcDateTime(), nullable=False),
        _belongs_to_order("payment_attempts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_attempts")),
    )
    op.create_table(
        "refund_requests",
        sa.Column("id", sa.String(64), nullable=False),
        _order_id(),
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("payment_id", sa.String(255), nullable=False),
        sa.Column("refund_id", sa.String(255)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("note", sa.Text()),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("stock_returned_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _one_of("refund_requests", "status", "requested", *REFUND_STATUSES),
        _belongs_to_order("refund_requests"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_requests")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_refund_requests_order_id_idempotency_key")),
        sa.UniqueConstraint("refund_id", name=op.f("uq_refund_requests_refund_id")),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(255), nullable=False),
        _order_id(),
        sa.Column("payment_id", sa.String(255), nullable=False),
        sa.Column("refund_request_id", sa.String(64)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("failure_reason", sa.String(64)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        _one_of("refunds", "status", *REFUND_STATUSES),
        _belongs_to_order("refunds"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_table(
        "disputes",
        sa.Column("id", sa.String(255), nullable=False),
        _order_id(),
        sa.Column("payment_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("evidence_due_by", UtcDateTime()),
        sa.Column("funds_withdrawn_at", UtcDateTime()),
        sa.Column("funds_reinstated_at", UtcDateTime()),
        sa.Column("closed_at", UtcDateTime()),
        _belongs_to_order("disputes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
    )
    op.create_table(
        "reviews",
        _order_id(),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("missing", Json(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(16)),
        sa.Column("resolved_by", sa.String(128)),
        sa.Column("resolved_at", UtcDateTime()),
        sa.Column("note", sa.Text()),
        _one_of("reviews", "reason", *REVIEW_REASONS),
        _one_of("reviews", "decision", "accept", "refund", "cancel"),
        sa.CheckConstraint("(decision IS NULL) = (resolved_at IS NULL)", name=op.f("ck_reviews_resolved")),
        _belongs_to_order("reviews"),
        sa.PrimaryKeyConstraint("order_id", "reason", "subject", name=op.f("pk_reviews")),
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.String(64), nullable=False),
        _order_id(),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("carrier", sa.String(64)),
        sa.Column("tracking", sa.String(128)),
        sa.Column("tracking_url", sa.Text()),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("shipped_by", sa.String(128), nullable=False),
        sa.Column("shipped_at", UtcDateTime(), nullable=False),
        _belongs_to_order("shipments"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_shipments_order_id_idempotency_key")),
    )
    op.create_table(
        "timeline_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        _order_id(),
        sa.Column("happened_at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cause_id", sa.String(255), nullable=False),
        _one_of("timeline_entries", "kind", *ENTRY_KINDS),
        _belongs_to_order("timeline_entries"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timeline_entries")),
        sa.UniqueConstraint("order_id", "cause_id", "kind", name=op.f("uq_timeline_entries_order_id_cause_id_kind")),
    )
    op.create_table(
        "unmatched_events",
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("payment_id", sa.String(255), nullable=False),
        sa.Column("headers", Json(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("parked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_unmatched_events")),
    )
    for table, columns in INDEXES.items():
        for column in columns:
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table in (
        "unmatched_events",
        "timeline_entries",
        "shipments",
        "reviews",
        "disputes",
        "refunds",
        "refund_requests",
        "payment_attempts",
        "payments",
        "order_sessions",
        "order_lines",
        "orders",
    ):
        op.drop_table(table)


INDEXES = {
    "orders": (
        "payment_intent",
        "customer_email_key",
        "status",
        "refund_status",
        "dispute_status",
        "created_at",
    ),
    "order_sessions": ("order_id",),
    "payments": ("order_id",),
    "payment_attempts": ("order_id",),
    "refund_requests": ("next_attempt_at",),
    "refunds": ("order_id", "created_at"),
    "disputes": ("order_id", "status"),
    "unmatched_events": ("payment_id", "parked_at"),
}
REFUND_STATUSES = ("requires_action", "pending", "succeeded", "canceled", "failed")
REVIEW_REASONS = (
    "amount-mismatch",
    "currency-mismatch",
    "livemode-mismatch",
    "account-mismatch",
    "oversold",
    "duplicate-payment",
)
ENTRY_KINDS = (
    "started",
    "canceled",
    "expired",
    "paid",
    "payment-pending",
    "payment-succeeded",
    "payment-failed",
    "payment-attempt-failed",
    "review-opened",
    "review-resolved",
    "refund-requested",
    "refund-unanswered",
    "refund-refused",
    "refund-requires-action",
    "refund-pending",
    "refund-succeeded",
    "refund-canceled",
    "refund-failed",
    "dispute-opened",
    "dispute-updated",
    "dispute-evidence-due",
    "dispute-funds-withdrawn",
    "dispute-funds-reinstated",
    "dispute-closed",
    "shipped",
    "customer-erased",
)


def _order_id() -> sa.Column[str]:
    return sa.Column("order_id", sa.String(64), nullable=False)


def _belongs_to_order(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f(f"fk_{table}_order_id_orders"))


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=op.f(f"ck_{table}_{column}"))
