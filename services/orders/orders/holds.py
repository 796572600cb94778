"""Holds: the one rule that says whether an order may ship, and if not, why.

`find_hold` is the rule in Python, for one order. `may_ship` is the same rule in SQL, for lists of orders.
"""

from enum import StrEnum

from sqlalchemy import ColumnElement, and_, not_

from orders.models.orders import Order, OrderDisputeStatus, OrderStatus

CHARGEBACKS = (OrderDisputeStatus.OPEN, OrderDisputeStatus.LOST)  # the bank takes the money back; an inquiry does not


class Hold(StrEnum):
    """The reasons why an order must not ship. If several apply, the first one counts."""

    UNPAID = "unpaid"
    CANCELED = "canceled"
    REVIEW = "review"
    NOTHING_OWED = "nothing-owed"
    STOCK = "stock"
    CHARGEBACK = "chargeback"


def find_hold(order: Order) -> Hold | None:
    """Return why the order must not ship, or None if it may. The order's derived columns must be up to date.

    Nothing is owed if all pieces have shipped, or if refunds cover them. After a late payment, or with stock in
    doubt, inventory has to confirm the stock. A chargeback holds the order while the chargeback is open, and once it is
    lost. An operator can override a chargeback's hold for each shipment.
    """
    rules = (
        (Hold.UNPAID, order.status != OrderStatus.PAID),
        (Hold.CANCELED, order.fulfillment_canceled_at is not None),
        (Hold.REVIEW, order.needs_review),
        (Hold.NOTHING_OWED, order.pieces_owed == 0),
        (Hold.STOCK, order.paid_published_at is None),
        (Hold.CHARGEBACK, order.dispute_status in CHARGEBACKS),
    )
    return next((hold for hold, applies in rules if applies), None)


def may_ship() -> ColumnElement[bool]:
    """Return the SQL condition that no hold applies. The orders that match are the pick list."""
    return and_(
        Order.status == OrderStatus.PAID,
        Order.fulfillment_canceled_at.is_(None),
        not_(Order.needs_review),
        Order.pieces_owed > 0,
        Order.paid_published_at.is_not(None),
        Order.dispute_status.not_in(CHARGEBACKS),
    )
