"""Add the shipping options that Stripe's page offered."""

import sqlalchemy as sa
from alembic import op
from events.database.types import Json

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("orders", sa.Column("shipping_offers", Json(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("orders", "shipping_offers")
