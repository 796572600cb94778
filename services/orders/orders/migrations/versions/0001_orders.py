"""Orders, their sessions, payments, attempts and timeline."""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

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
        sa.Column("customer_email", sa.String(320)),
        sa.Column("customer_email_key", sa.String(320)),
        sa.Column("customer_name", sa.Text()),
        sa.Column("locale", sa.String(16)),
        sa.Column("recovery_url", sa.Text()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("review_reason", sa.String(32)),
        sa.Column("review_detail", sa.Text()),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("pending_at", UtcDateTime()),
        sa.Column("paid_at", UtcDateTime()),
        sa.Column("failed_at", UtcDateTime()),
        sa.Column("expired_at", UtcDateTime()),
        sa.Column("canceled_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('open','payment_pending','paid','payment_failed','expired','canceled')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("needs_review = (review_reason IS NOT NULL)", name=op.f("ck_orders_review")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("number", name=op.f("uq_orders_number")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_orders_checkout_id")),
        sa.UniqueConstraint("session_id", name=op.f("uq_orders_session_id")),
    )
    for column in ("payment_intent", "customer_email_key", "status", "created_at"):
        op.create_index(f"ix_orders_{column}", "orders", [column])
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
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_tax", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("state IN ('pending','succeeded','failed')", name=op.f("ck_payments_state")),
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
        sa.Column("at", UtcDateTime(), nullable=False),
        _belongs_to_order("payment_attempts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_attempts")),
    )
    op.create_table(
        "timeline",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        _order_id(),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("event_id", sa.String(255)),
        _belongs_to_order("timeline"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timeline")),
        sa.UniqueConstraint("order_id", "event_id", "kind", name=op.f("uq_timeline_order_id_event_id_kind")),
    )
    for table in ("order_sessions", "payments", "payment_attempts"):
        op.create_index(f"ix_{table}_order_id", table, ["order_id"])


def downgrade() -> None:
    for table in ("timeline", "payment_attempts", "payments", "order_sessions", "order_lines", "orders"):
        op.drop_table(table)


def _order_id() -> sa.Column[str]:
    return sa.Column("order_id", sa.String(64), nullable=False)


def _belongs_to_order(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f(f"fk_{table}_order_id_orders"))
