"""Purchases by address, unsubscribed addresses, reminders, requests to resend, and mails with an unknown outcome."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"

STATUSES = ("pending", "sending", "sent", "failed", "suppressed", "collected")
WITH_UNKNOWN = (*STATUSES, "unknown")


def upgrade() -> None:
    op.add_column("checkouts", sa.Column("purchaser", sa.Text()))
    op.add_column("checkouts", sa.Column("purchased_at", UtcDateTime()))
    op.create_index("ix_checkouts_purchaser", "checkouts", ["purchaser"])
    op.add_column("emails", sa.Column("handovers", sa.Integer(), nullable=False, server_default="0"))
    _allow_statuses(STATUSES, WITH_UNKNOWN)
    op.create_table(
        "unsubscribed_addresses",
        sa.Column("address_key", sa.String(64), nullable=False),
        sa.Column("unsubscribed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_unsubscribed_addresses")),
    )
    op.create_table(
        "reminders",
        sa.Column("address_key", sa.String(64), nullable=False),
        sa.Column("email_id", sa.String(64), nullable=False),
        sa.Column("reminded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_reminders")),
        sa.ForeignKeyConstraint(["email_id"], ["emails.id"], name=op.f("fk_reminders_email_id_emails")),
    )
    op.create_index("ix_reminders_email_id", "reminders", ["email_id"])
    op.create_table(
        "resend_requests",
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("result", Json(), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("pk_resend_requests")),
    )


def downgrade() -> None:
    op.drop_table("resend_requests")
    op.drop_table("reminders")
    op.drop_table("unsubscribed_addresses")
    op.execute("UPDATE emails SET status = 'failed' WHERE status = 'unknown'")
    _allow_statuses(WITH_UNKNOWN, STATUSES)
    op.drop_column("emails", "handovers")
    op.drop_index("ix_checkouts_purchaser", "checkouts")
    op.drop_column("checkouts", "purchased_at")
    op.drop_column("checkouts", "purchaser")


def _allow_statuses(before: Sequence[str], after: Sequence[str]) -> None:
    """Replace the check of the mails' statuses."""
    old, new = (f"status IN ({','.join(repr(status) for status in statuses)})" for statuses in (before, after))
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_emails_status"), "emails", type_="check")
        op.create_check_constraint(op.f("ck_emails_status"), "emails", new)
        return
    # SQLite cannot change a constraint, and a copy of the table would break the mails that refer to each other. This is
    # the way that SQLite documents for changes of constraints (https://sqlite.org/lang_altertable.html, 7).
    op.execute("PRAGMA writable_schema = ON")
    found = "UPDATE sqlite_schema SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = 'emails'"
    op.execute(sa.text(found).bindparams(old=old, new=new))
    op.execute("PRAGMA writable_schema = RESET")
