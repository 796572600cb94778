"""Late payments, the pieces that do not ship any more, and refunds in the customer's currency."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("orders", sa.Column("pieces_canceled", Json(), server_default="{}", nullable=False))
    op.add_column("orders", sa.Column("goods_revision", sa.Integer(), server_default="0", nullable=False))
    op.add_column("payments", sa.Column("is_late", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("refunds", sa.Column("presentment_currency", sa.String(length=3), nullable=True))
    op.add_column("refunds", sa.Column("presentment_amount", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("refunds", "presentment_amount")
    op.drop_column("refunds", "presentment_currency")
    op.drop_column("payments", "is_late")
    op.drop_column("orders", "goods_revision")
    op.drop_column("orders", "pieces_canceled")
