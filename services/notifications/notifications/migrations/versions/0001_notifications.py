"""The checkouts and their e-mails."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "checkouts",
        sa.Column("checkout_id", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("erased_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_checkouts")),
        sa.CheckConstraint("outcome IN ('paid','canceled')", name=op.f("ck_checkouts_outcome")),
    )
    op.create_table(
        "emails",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("checkout_id", sa.String(255)),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text()),
        sa.Column("locale", sa.Text()),
        sa.Column("event_data", Json(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("message_id", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime()),
        sa.Column("error", sa.Text()),
        sa.Column("traceparent", sa.String(64)),
        sa.Column("resend_of", sa.String(64)),
        sa.Column("requested_by", sa.String(128)),
        sa.Column("digest_id", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["checkouts.checkout_id"], name=op.f("fk_emails_checkout_id_checkouts")
        ),
        sa.ForeignKeyConstraint(["resend_of"], ["emails.id"], name=op.f("fk_emails_resend_of_emails")),
        sa.ForeignKeyConstraint(["digest_id"], ["emails.id"], name=op.f("fk_emails_digest_id_emails")),
        sa.UniqueConstraint("checkout_id", "kind", "subject_key", name=op.f("uq_emails_checkout_id_kind_subject_key")),
        sa.CheckConstraint(
            "status IN ('pending','sending','sent','failed','suppressed','collected')", name=op.f("ck_emails_status")
        ),
    )
    no_checkout = sa.text("checkout_id IS NULL")
    op.create_index(
        "uq_emails_kind_subject_key",
        "emails",
        ["kind", "subject_key"],
        unique=True,
        postgresql_where=no_checkout,
        sqlite_where=no_checkout,
    )
    due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index("ix_emails_next_attempt_at", "emails", ["next_attempt_at"], postgresql_where=due)
    op.create_index("ix_emails_status_id", "emails", ["status", "id"])
    op.create_index("ix_emails_recipient", "emails", ["recipient"])
    op.create_index("ix_emails_resend_of", "emails", ["resend_of"])


def downgrade() -> None:
    op.drop_table("emails")
    op.drop_table("checkouts")
