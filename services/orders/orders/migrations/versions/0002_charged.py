"""Add what Stripe charged, how a delayed payment is to be paid, and the check of a recovered cart's stock."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from events.database.types import Json, UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, type_ in columns.items():
            op.add_column(table, sa.Column(name, type_))


def downgrade() -> None:
    for table, columns in ADDED.items():
        for name in columns:
            op.drop_column(table, name)


ADDED: Mapping[str, Mapping[str, sa.types.TypeEngine[Any]]] = {
    "payments": {
        "amount_subtotal": sa.BigInteger(),
        "amount_discount": sa.BigInteger(),
        "amount_shipping": sa.BigInteger(),
        "tax_included": sa.Boolean(),
        "presentment_currency": sa.String(3),
        "presentment_amount": sa.BigInteger(),
        "recovered_from": sa.String(255),
        "payment_method_types": Json(),
        "payment_method": sa.String(64),
        "voucher_url": sa.Text(),
        "voucher_expires_at": UtcDateTime(),
    },
    "orders": {
        "customer_country": sa.String(2),
        "stock_checked_at": UtcDateTime(),
    },
}
