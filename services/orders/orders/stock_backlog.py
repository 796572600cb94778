"""Metrics of paid orders that wait until inventory publishes whether it took their pieces (`awaits_stock`)."""

from typing import Any

from events.observability.backlog_metrics import Backlog
from sqlalchemy import Select, func, not_, select

from orders.models.orders import Order, OrderStatus


class StockBacklog(Backlog):
    """Orders that wait for their stock, and the age of the oldest since its payment."""

    rows = ("clozit_orders_awaiting_stock", "Paid orders that wait for inventory to confirm their stock")
    age = ("clozit_orders_awaiting_stock_oldest_age_seconds", "Age of the oldest order that waits for its stock")

    def select(self) -> Select[int, Any]:
        """Return the query of the number of waiting orders and the time of the oldest payment.

        Every other paid order is published as paid, in review, or owes nothing.
        """
        return select(func.count(), func.min(Order.paid_at)).where(
            Order.status == OrderStatus.PAID,
            Order.paid_published_at.is_(None),
            Order.stock_checked_at.is_(None),
            Order.fulfillment_canceled_at.is_(None),
            not_(Order.needs_review),
            Order.pieces_owed > 0,
        )
