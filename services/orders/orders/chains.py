"""The migration chains of this service's database.

A table belongs to `Base.metadata` once its module is imported, so this module imports every module with tables.
"""

from collections.abc import Sequence
from pathlib import Path

from events.database.migrations import Chain
from events.messaging.chains import INBOX, OUTBOX

from orders.models import (
    disputes,
    doubted_checkouts,
    operator_acts,
    orders,
    payments,
    reconciliation,
    refund_lookups,
    refunds,
    reviews,
    shipments,
    stock_returns,
    timeline,
    unmatched_events,
)
from orders.models.base import Base

MODULES = (
    disputes,
    doubted_checkouts,
    operator_acts,
    orders,
    payments,
    reconciliation,
    refund_lookups,
    refunds,
    reviews,
    shipments,
    stock_returns,
    timeline,
    unmatched_events,
)

CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("orders", Base.metadata, Path(__file__).parent / "migrations" / "versions"),
)
