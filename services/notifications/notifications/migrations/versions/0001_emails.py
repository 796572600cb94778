"""The purchases and their e-mails."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "purchases",
        sa.Column("checkout_id", sa.String(255), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.PrimaryKeyConstraint("checkout_id", name="pk_purchases"),
        sa.CheckConstraint("outcome IN ('paid','canceled')", name=op.f("ck_purchases_outcome")),
    )
    op.create_table(
        "emails",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("checkout_id", sa.String(255), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text()),
        sa.Column("locale", sa.Text()),
        sa.Column("context", Json(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime()),
        sa.Column("message_id", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime()),
        sa.Column("error", sa.Text()),
        sa.Column("resend_of", sa.String(64)),
        sa.Column("requested_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_emails"),
        sa.ForeignKeyConstraint(["checkout_id"], ["purchases.checkout_id"], name="fk_emails_checkout_id_purchases"),
        sa.ForeignKeyConstraint(["resend_of"], ["emails.id"], name="fk_emails_resend_of_emails"),
        sa.UniqueConstraint("checkout_id", "kind", "subject_key", name="uq_emails_checkout_id_kind_subject_key"),
        sa.CheckConstraint(
            "status IN ('pending','sending','sent','failed','suppressed')", name=op.f("ck_emails_status")
        ),
    )
    op.create_index(
        "ix_emails_next_attempt_at",
        "emails",
        ["next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index("ix_emails_status_id", "emails", ["status", "id"])
    op.create_index("ix_emails_recipient", "emails", ["recipient"])
    op.create_index("ix_emails_resend_of", "emails", ["resend_of"])


def downgrade() -> None:
    op.drop_table("emails")
    op.drop_table("purchases")
