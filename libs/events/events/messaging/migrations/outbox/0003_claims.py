"""Claims of outbox rows: the relay publishes without a transaction.

A relay of the previous release does not see the claims. Beside a new one, it may publish a claimed row, too, which is a
duplicate.
"""

import sqlalchemy as sa
from alembic import op
from events.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("claimed_until", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "claimed_until")
