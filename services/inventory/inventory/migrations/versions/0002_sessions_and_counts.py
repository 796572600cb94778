"""Facts about each Stripe session, shipped pieces, stock changes by key, and losses of reserved pieces."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"

RESERVED = "ck_stock_items_reserved"
STRICT, RELAXED = "reserved >= 0 AND reserved <= on_hand", "reserved >= 0"


def upgrade() -> None:
    op.create_table(
        "reservation_sessions",
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.Column("session_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("payment_status", sa.String(64)),
        sa.Column("reported_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('expired','pending','failed','paid')", name=op.f("ck_reservation_sessions_status")
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["reservations.checkout_id"], name=op.f("fk_reservation_sessions_checkout_id_reservations")
        ),
        sa.PrimaryKeyConstraint("checkout_id", "session_id", name=op.f("pk_reservation_sessions")),
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("checkout_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipments")),
    )
    op.create_table(
        "stock_changes",
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("answer", Json(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("pk_stock_changes")),
    )
    op.add_column("reservations", sa.Column("notified_expires_at", UtcDateTime()))
    op.add_column("reservation_lines", sa.Column("shipped", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("reservation_lines", sa.Column("unshipped", sa.Integer(), nullable=False, server_default="0"))
    unshipped = sa.text("unshipped > 0")
    op.create_index(
        "ix_reservation_lines_unshipped",
        "reservation_lines",
        ["sku"],
        postgresql_where=unshipped,
        sqlite_where=unshipped,
    )
    _set_reserved_check(STRICT, RELAXED)


def downgrade() -> None:
    _set_reserved_check(RELAXED, STRICT)
    op.drop_index("ix_reservation_lines_unshipped", "reservation_lines")
    op.drop_column("reservation_lines", "unshipped")
    op.drop_column("reservation_lines", "shipped")
    op.drop_column("reservations", "notified_expires_at")
    for table in ("stock_changes", "shipments", "reservation_sessions"):
        op.drop_table(table)


def _set_reserved_check(before: str, after: str) -> None:
    """Replace the check of `reserved`. A downgrade leaves existing rows unchecked: they can have a deficit."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.drop_constraint(op.f(RESERVED), "stock_items", type_="check")
        unchecked = " NOT VALID" if after == STRICT else ""
        op.execute(f"ALTER TABLE stock_items ADD CONSTRAINT {RESERVED} CHECK ({after}){unchecked}")
        return
    # SQLite cannot alter a constraint, and other tables refer to this one: https://sqlite.org/lang_altertable.html, 7
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'stock_items'",
        (f"{RESERVED} CHECK ({before})", f"{RESERVED} CHECK ({after})"),
    )
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema=OFF")
