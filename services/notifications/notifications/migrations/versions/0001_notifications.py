"""The tables of the notifications service."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "checkouts",
        sa.Column("checkout_id", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True),
        sa.Column("purchaser", sa.Text(), nullable=True),
        sa.Column("purchased_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("outcome IN ('paid','canceled')", name=op.f("ck_checkouts_outcome")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_checkouts")),
    )
    op.create_index(op.f("ix_checkouts_purchaser"), "checkouts", ["purchaser"], unique=False)
    op.create_table(
        "resend_requests",
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("result", Json(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", name=op.f("pk_resend_requests")),
    )
    op.create_table(
        "unsubscribed_addresses",
        sa.Column("address_key", sa.String(length=64), nullable=False),
        sa.Column("unsubscribed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_unsubscribed_addresses")),
    )
    op.create_table(
        "emails",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("checkout_id", sa.String(length=255), nullable=True),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("event_data", Json(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("handovers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.Column("resend_of", sa.String(length=64), nullable=True),
        sa.Column("requested_by", sa.String(length=128), nullable=True),
        sa.Column("digest_id", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending','sending','sent','failed','suppressed','collected','unknown')",
            name=op.f("ck_emails_status"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["checkouts.checkout_id"], name=op.f("fk_emails_checkout_id_checkouts")
        ),
        sa.ForeignKeyConstraint(["digest_id"], ["emails.id"], name=op.f("fk_emails_digest_id_emails")),
        sa.ForeignKeyConstraint(["resend_of"], ["emails.id"], name=op.f("fk_emails_resend_of_emails")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("checkout_id", "kind", "subject_key", name=op.f("uq_emails_checkout_id_kind_subject_key")),
    )
    op.create_index(
        "ix_emails_next_attempt_at",
        "emails",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index("ix_emails_recipient", "emails", ["recipient"], unique=False)
    op.create_index("ix_emails_resend_of", "emails", ["resend_of"], unique=False)
    op.create_index("ix_emails_status_id", "emails", ["status", "id"], unique=False)
    op.create_index(
        "uq_emails_kind_subject_key",
        "emails",
        ["kind", "subject_key"],
        unique=True,
        postgresql_where=sa.text("checkout_id IS NULL"),
        sqlite_where=sa.text("checkout_id IS NULL"),
    )
    op.create_table(
        "reminders",
        sa.Column("address_key", sa.String(length=64), nullable=False),
        sa.Column("email_id", sa.String(length=64), nullable=False),
        sa.Column("reminded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["email_id"], ["emails.id"], name=op.f("fk_reminders_email_id_emails")),
        sa.PrimaryKeyConstraint("address_key", name=op.f("pk_reminders")),
    )
    op.create_index(op.f("ix_reminders_email_id"), "reminders", ["email_id"], unique=False)


def downgrade() -> None:
    op.drop_table("reminders")
    op.drop_table("emails")
    op.drop_table("unsubscribed_addresses")
    op.drop_table("resend_requests")
    op.drop_table("checkouts")
