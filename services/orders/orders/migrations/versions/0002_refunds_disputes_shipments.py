"""Refunds, disputes, reviews and shipments as rows; what an order derives from them."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "strays",
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("headers", Json(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_strays")),
    )
    op.create_index(op.f("ix_strays_kept_at"), "strays", ["kept_at"], unique=False)
    op.create_index(op.f("ix_strays_payment_id"), "strays", ["payment_id"], unique=False)
    op.create_table(
        "disputes",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
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
        "refund_requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("checkout_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("refund_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
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
        sa.CheckConstraint(
            "status IN ('requested','pending','requires_action','succeeded','failed','canceled')",
            name=op.f("ck_refund_intentions_status"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_intentions_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_intentions")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_refund_intentions_order_id_idempotency_key")),
        sa.UniqueConstraint("refund_id", name=op.f("uq_refund_intentions_refund_id")),
    )
    op.create_index("ix_refund_intentions_next_attempt_at", "refund_requests", ["next_attempt_at"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=255), nullable=False),
        sa.Column("intention_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("failure_reason", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending','requires_action','succeeded','failed','canceled')", name=op.f("ck_refunds_status")
        ),
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
        sa.CheckConstraint("(decision IS NULL) = (resolved_at IS NULL)", name=op.f("ck_reviews_settled")),
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
        sa.Column("lines", Json(), nullable=False),
        sa.Column("shipped_by", sa.String(length=128), nullable=False),
        sa.Column("shipped_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_shipments_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
        sa.UniqueConstraint("order_id", "idempotency_key", name=op.f("uq_shipments_order_id_idempotency_key")),
    )
    op.add_column("orders", sa.Column("promotion_codes", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("orders", sa.Column("amount_paid", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("orders", sa.Column("amount_refunded", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("orders", sa.Column("refund_status", sa.String(length=16), server_default="none", nullable=False))
    op.add_column("orders", sa.Column("dispute_status", sa.String(length=16), server_default="none", nullable=False))
    op.add_column(
        "orders", sa.Column("fulfillment_status", sa.String(length=16), server_default="unfulfilled", nullable=False)
    )
    op.add_column("orders", sa.Column("customer_phone", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("shipping_name", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("shipping_address", Json(), nullable=True))
    op.add_column("orders", sa.Column("confirmed_at", UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_orders_dispute_status"), "orders", ["dispute_status"], unique=False)
    op.create_index(op.f("ix_orders_refund_status"), "orders", ["refund_status"], unique=False)
    _derive()


def _derive() -> None:
    """What the orders that are there would have derived."""
    op.execute(
        "UPDATE orders SET amount_paid = coalesce((SELECT sum(amount) FROM payments WHERE order_id = orders.id"
        " AND state = 'succeeded' AND currency = orders.currency), 0)"
    )
    op.execute("UPDATE orders SET confirmed_at = paid_at WHERE NOT needs_review")
    op.execute(
        "INSERT INTO reviews (order_id, reason, subject, detail, missing, opened_at)"
        " SELECT id, review_reason, '', review_detail, '{}', updated_at FROM orders WHERE needs_review"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_orders_refund_status"), table_name="orders")
    op.drop_index(op.f("ix_orders_dispute_status"), table_name="orders")
    op.drop_column("orders", "confirmed_at")
    op.drop_column("orders", "shipping_address")
    op.drop_column("orders", "shipping_name")
    op.drop_column("orders", "customer_phone")
    op.drop_column("orders", "fulfillment_status")
    op.drop_column("orders", "dispute_status")
    op.drop_column("orders", "refund_status")
    op.drop_column("orders", "amount_refunded")
    op.drop_column("orders", "amount_paid")
    op.drop_column("orders", "promotion_codes")
    op.drop_table("shipments")
    op.drop_table("reviews")
    op.drop_index(op.f("ix_refunds_order_id"), table_name="refunds")
    op.drop_index(op.f("ix_refunds_created_at"), table_name="refunds")
    op.drop_table("refunds")
    op.drop_index("ix_refund_intentions_next_attempt_at", table_name="refund_requests")
    op.drop_table("refund_requests")
    op.drop_index(op.f("ix_disputes_status"), table_name="disputes")
    op.drop_index(op.f("ix_disputes_order_id"), table_name="disputes")
    op.drop_table("disputes")
    op.drop_index(op.f("ix_strays_payment_id"), table_name="strays")
    op.drop_index(op.f("ix_strays_kept_at"), table_name="strays")
    op.drop_table("strays")
