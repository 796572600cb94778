"""Mails without a purchase, and the staff's digests."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BEFORE = "status IN ('pending','sending','sent','failed','suppressed')"
AFTER = "status IN ('pending','sending','sent','failed','suppressed','collected')"
NO_PURCHASE = sa.text("checkout_id IS NULL")


def upgrade() -> None:
    with _emails(AFTER) as table:
        table.alter_column("checkout_id", existing_type=sa.String(255), nullable=True)
        table.add_column(sa.Column("digest_id", sa.String(64)))
        table.create_foreign_key(op.f("fk_emails_digest_id_emails"), "emails", ["digest_id"], ["id"])
    op.create_index(
        "uq_emails_kind_subject_key",
        "emails",
        ["kind", "subject_key"],
        unique=True,
        postgresql_where=NO_PURCHASE,
        sqlite_where=NO_PURCHASE,
    )


def downgrade() -> None:
    """Mails without a purchase have no place in the tables of before."""
    op.drop_index("uq_emails_kind_subject_key", "emails")
    op.execute("UPDATE emails SET digest_id = NULL")
    op.execute("DELETE FROM emails WHERE checkout_id IS NULL")
    op.execute("UPDATE emails SET status = 'suppressed' WHERE status = 'collected'")
    with _emails(BEFORE) as table:
        table.drop_constraint(op.f("fk_emails_digest_id_emails"), type_="foreignkey")
        table.drop_column("digest_id")
        table.alter_column("checkout_id", existing_type=sa.String(255), nullable=False)


@contextmanager
def _emails(statuses: str) -> Iterator[BatchOperations]:
    """The table, to be altered, its statuses changed with it.

    SQLite has it made anew by a copy, which must not point into the table that is dropped: so the links between mails
    are taken out for as long.
    """
    name = op.f("ck_emails_status")
    copies = op.get_bind().dialect.name == "sqlite"
    if copies:
        op.execute("CREATE TEMPORARY TABLE resends AS SELECT id, resend_of FROM emails WHERE resend_of IS NOT NULL")
        op.execute("UPDATE emails SET resend_of = NULL")
    with op.batch_alter_table("emails") as table:
        table.drop_constraint(name, type_="check")
        yield table
        table.create_check_constraint(name, statuses)
    if copies:
        op.execute("UPDATE emails SET resend_of = (SELECT resend_of FROM resends WHERE resends.id = emails.id)")
        op.execute("DROP TABLE resends")
