"""Pruning of checkouts that never began: refused ones, and those that ended before Stripe was called.

Anyone can make such rows. No event is about them, and orders has no order of them. A checkout that may have a session
is kept, because each event of Stripe about it needs its row: `reserved_at` is set before the first call to Stripe.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from events.database.chunks import change_in_chunks
from events.database.engine import Database
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from checkout.models import ABANDONED, Checkout, DiscountUse

ABANDONED_RETENTION = timedelta(days=7)  # operators can see what was refused; a repeated request comes much sooner


def prune_abandoned(database: Database, now: datetime) -> int:
    """Delete the checkouts that never began, after `ABANDONED_RETENTION`, and return their number.

    Those that the sweeper still has to clean up are kept.
    """
    never_began = (
        select(Checkout.id)
        .where(
            Checkout.status == ABANDONED,
            Checkout.reserved_at.is_(None),
            Checkout.session_id.is_(None),
            Checkout.check_at.is_(None),
            Checkout.coupon_ends_at.is_(None),
            Checkout.created_at < now - ABANDONED_RETENTION,
        )
        .order_by(Checkout.id)
    )
    return change_in_chunks(database, never_began, _delete)


def _delete(session: Session, checkout_ids: Sequence[str]) -> None:
    session.execute(delete(DiscountUse).where(DiscountUse.checkout_id.in_(checkout_ids)))
    session.execute(delete(Checkout).where(Checkout.id.in_(checkout_ids)))
