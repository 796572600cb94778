"""The tables of the orders service."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=16), nullable=False),
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_subtotal", sa.BigInteger(), nullable=False),
        sa.Column("amount_discount", sa.BigInteger(), nullable=False),
        sa.Column("amount_shipping", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("promotion_codes", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("needs_address", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("shipping_offers", Json(), server_default="[]", nullable=False),
        sa.Column("customer_email", sa.String(length=320), nullable=True),
        sa.Column("customer_email_key", sa.String(length=320), nullable=True),
        sa.Column("customer_name", sa.Text(), nullable=True),
        sa.Column("customer_phone", sa.Text(), nullable=True),
        sa.Column("shipping_name", sa.Text(), nullable=True),
        sa.Column("shipping_address", Json(), nullable=True),
        sa.Column("locale", sa.String(length=16), nullable=True),
        sa.Column("recovery_url", sa.Text(), nullable=True),
        sa.Column("customer_country", sa.String(length=2), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("refund_status", sa.String(length=16), server_default="none", nullable=False),
        sa.Column("dispute_status", sa.String(length=16), server_default="none", nullable=False),
        sa.Column("fulfillment_status", sa.String(length=16), server_default="unfulfilled", nullable=False),
        sa.Column("pieces_owed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("review_reason", sa.String(length=32), nullable=True),
        sa.Column("review_detail", sa.Text(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("pending_at", UtcDateTime(), nullable=True),
        sa.Column("paid_at", UtcDateTime(), nullable=True),
        sa.Column("failed_at", UtcDateTime(), nullable=True),
        sa.Column("expired_at", UtcDateTime(), nullable=True),
        sa.Column("canceled_at", UtcDateTime(), nullable=True),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("stock_checked_at", UtcDateTime(), nullable=True),
        sa.Column("fulfillment_canceled_at", UtcDateTime(), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "dispute_status IN ('none','inquiry','open','won','lost')", name=op.f("ck_orders_dispute_status")
        ),
        sa.CheckConstraint(
            "fulfillment_status IN ('unfulfilled','partial','fulfilled','canceled')",
            name=op.f("ck_orders_fulfillment_status"),
        ),
        sa.CheckConstraint("refund_status IN ('none','partial','full')", name=op.f("ck_orders_refund_status")),
        sa.CheckConstraint(
            "review_reason IN ('amount-mismatch','currency-mismatch','livemode-mismatch','account-mismatch','oversold','duplicate-payment','missing-address','radar-review','early-fraud-warning')",
            name=op.f("ck_orders_review_reason"),
        ),
        sa.CheckConstraint(
            "status IN ('open','payment_pending','paid','payment_failed','expired','canceled')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("needs_review = (review_reason IS NOT NULL)", name=op.f("ck_orders_review")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_orders_checkout_id")),
        sa.UniqueConstraint("number", name=op.f("uq_orders_number")),
        sa.UniqueConstraint("session_id", name=op.f("uq_orders_session_id")),
    )
    op.create_index(op.f("ix_orders_created_at"), "orders", ["created_at"], unique=False)
    op.create_index(op.f("ix_orders_customer_email_key"), "orders", ["customer_email_key"], unique=False)
    op.create_index(op.f("ix_orders_dispute_status"), "orders", ["dispute_status"], unique=False)
    op.create_index(
        "ix_orders_owed",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("pieces_owed > 0"),
        sqlite_where=sa.text("pieces_owed > 0"),
    )
    op.create_index(op.f("ix_orders_payment_intent"), "orders", ["payment_intent"], unique=False)
    op.create_index(op.f("ix_orders_refund_status"), "orders", ["refund_status"], unique=False)
    op.create_index(op.f("ix_orders_status"), "orders", ["status"], unique=False)
    op.create_table(
        "unmatched_events",
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("headers", Json(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("parked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_unmatched_events")),
    )
    op.create_index(op.f("ix_unmatched_events_parked_at"), "unmatched_events", ["parked_at"], unique=False)
    op.create_index(op.f("ix_unmatched_events_payment_id"), "unmatched_events", ["payment_id"], unique=False)
    op.create_table(
        "disputes",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("status_at", UtcDateTime(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_withdrawn", sa.BigInteger(), nullable=True),
        sa.Column("amount_reinstated", sa.BigInteger(), nullable=True),
        sa.Column("amount_held", sa.BigInteger(), nullable=True),
        sa.Column("movements", Json(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("evidence_due_by", UtcDateTime(), nullable=True),
        sa.Column("funds_withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("funds_reinstated_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_order_id"), "disputes", ["order_id"], unique=False)
    op.create_index(op.f("ix_disputes_status"), "disputes", ["status"], unique=False)
    op.create_table(
        "operator_acts",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("acted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_operator_acts_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "idempotency_key", name=op.f("pk_operator_acts")),
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_total", sa.BigInteger(), nullable=False),
        sa.Column("charged_total", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_lines_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_order_lines")),
    )
    op.create_table(
        "order_sessions",
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_sessions_order_id_orders")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_order_sessions")),
    )
    op.create_index(op.f("ix_order_sessions_order_id"), "order_sessions", ["order_id"], unique=False)
    op.create_table(
        "payment_attempts",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("payment_intent", sa.String(length=255), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attempted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_payment_attempts_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_attempts")),
    )
    op.create_index(op.f("ix_payment_attempts_order_id"), "payment_attempts", ["order_id"], unique=False)
    op.create_table(
        "payments",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_tax", sa.BigInteger(), nullable=False),
        sa.Column("amount_subtotal", sa.BigInteger(), nullable=True),
        sa.Column("amount_discount", sa.BigInteger(), nullable=True),
        sa.Column("amount_shipping", sa.BigInteger(), nullable=True),
        sa.Column("shipping_total", sa.BigInteger(), nullable=True),
        sa.Column("tax_included", sa.Boolean(), nullable=True),
        sa.Column("presentment_currency", sa.String(length=3), nullable=True),
        sa.Column("presentment_amount", sa.BigInteger(), nullable=True),
        sa.Column("recovered_from", sa.String(length=255), nullable=True),
        sa.Column("payment_method_types", Json(), nullable=True),
        sa.Column("payment_method", sa.String(length=64), nullable=True),
        sa.Column("voucher_url", sa.Text(), nullable=True),
        sa.Column("voucher_expires_at", UtcDateTime(), nullable=True),
        sa.Column("paid_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('pending','succeeded','failed')", name=op.f("ck_payments_status")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_payments_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
    )
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"], unique=False)
    op.create_table(
        "refund_lookups",
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_lookups_order_id_orders")),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_refund_lookups")),
    )
    op.create_index(op.f("ix_refund_lookups_next_attempt_at"), "refund_lookups", ["next_attempt_at"], unique=False)
    op.create_table(
        "refund_requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("refund_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("stock_returned_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_requests_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_requests")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_refund_requests_order_id_idempotency_key")),
        sa.UniqueConstraint("refund_id", name=op.f("uq_refund_requests_refund_id")),
    )
    op.create_index(op.f("ix_refund_requests_next_attempt_at"), "refund_requests", ["next_attempt_at"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("refund_request_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("status_at", UtcDateTime(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("failure_reason", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refunds_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_created_at"), "refunds", ["created_at"], unique=False)
    op.create_index(op.f("ix_refunds_order_id"), "refunds", ["order_id"], unique=False)
    op.create_table(
        "reviews",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("missing", Json(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column("resolved_by", sa.String(length=128), nullable=True),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("decision IN ('accept','refund','cancel')", name=op.f("ck_reviews_decision")),
        sa.CheckConstraint(
            "reason IN ('amount-mismatch','currency-mismatch','livemode-mismatch','account-mismatch','oversold','duplicate-payment','missing-address','radar-review','early-fraud-warning')",
            name=op.f("ck_reviews_reason"),
        ),
        sa.CheckConstraint("(decision IS NULL) = (resolved_at IS NULL)", name=op.f("ck_reviews_resolved")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_reviews_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "reason", "subject", name=op.f("pk_reviews")),
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("carrier", sa.String(length=64), nullable=True),
        sa.Column("tracking", sa.String(length=128), nullable=True),
        sa.Column("tracking_url", sa.Text(), nullable=True),
        sa.Column("override", sa.Text(), nullable=True),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("shipped_by", sa.String(length=128), nullable=False),
        sa.Column("shipped_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_shipments_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_shipments_order_id_idempotency_key")),
    )
    op.create_table(
        "stock_returns",
        sa.Column("return_id", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("shipped", sa.Integer(), nullable=False),
        sa.Column("unshipped", sa.Integer(), nullable=False),
        sa.Column("returned_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_stock_returns_order_id_orders")),
        sa.PrimaryKeyConstraint("return_id", "sku", name=op.f("pk_stock_returns")),
    )
    op.create_index(op.f("ix_stock_returns_order_id"), "stock_returns", ["order_id"], unique=False)
    op.create_table(
        "timeline_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("happened_at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cause_id", sa.String(length=255), nullable=False),
        sa.CheckConstraint(
            "kind IN ('started','canceled','expired','paid','payment-pending','payment-succeeded','payment-failed','payment-attempt-failed','review-opened','review-resolved','refund-requested','refund-unanswered','refund-refused','refund-requires-action','refund-pending','refund-succeeded','refund-canceled','refund-failed','dispute-opened','dispute-updated','dispute-evidence-due','dispute-funds-withdrawn','dispute-funds-reinstated','dispute-closed','shipped','customer-erased','refund-status','radar','address-added')",
            name=op.f("ck_timeline_entries_kind"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_timeline_entries_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timeline_entries")),
        sa.UniqueConstraint("order_id", "cause_id", "kind", name=op.f("uq_timeline_entries_order_id_cause_id_kind")),
    )


def downgrade() -> None:
    op.drop_table("timeline_entries")
    op.drop_table("stock_returns")
    op.drop_table("shipments")
    op.drop_table("reviews")
    op.drop_table("refunds")
    op.drop_table("refund_requests")
    op.drop_table("refund_lookups")
    op.drop_table("payments")
    op.drop_table("payment_attempts")
    op.drop_table("order_sessions")
    op.drop_table("order_lines")
    op.drop_table("operator_acts")
    op.drop_table("disputes")
    op.drop_table("unmatched_events")
    op.drop_table("orders")
