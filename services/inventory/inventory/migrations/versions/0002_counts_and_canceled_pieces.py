"""Columns for the time of the last count, and for sold pieces that do not ship any more."""

import sqlalchemy as sa
from alembic import op
from events.database.indexes import is_postgresql
from events.database.types import UtcDateTime

revision = "0002"
down_revision = "0001"

OPENED_AT = """
UPDATE stock_items SET counted_at = (
    SELECT max(occurred_at) FROM movements WHERE movements.sku = stock_items.sku AND movements.kind = 'opening'
)
"""


def upgrade() -> None:
    # After an interrupted update of the rows, the columns are there already. SQLite keeps all in one transaction.
    again = is_postgresql() or None
    canceled = sa.Column("canceled", sa.Integer(), server_default="0", nullable=False)
    goods_revision = sa.Column("goods_revision", sa.Integer(), server_default="0", nullable=False)
    op.add_column("reservation_lines", canceled, if_not_exists=again)
    op.add_column("reservations", goods_revision, if_not_exists=again)
    op.add_column("stock_items", sa.Column("counted_at", UtcDateTime(), nullable=True), if_not_exists=again)
    # The new columns are committed first: their locks would block the service while the rows are updated.
    with op.get_context().autocommit_block():
        op.execute(OPENED_AT)


def downgrade() -> None:
    op.drop_column("stock_items", "counted_at")
    op.drop_column("reservations", "goods_revision")
    op.drop_column("reservation_lines", "canceled")
