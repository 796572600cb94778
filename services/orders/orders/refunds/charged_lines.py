"""Stripe's amounts of an order's lines, fetched before a refund of lines that depends on them."""

from events.database.engine import Database
from events.observability.logging import get_logger
from sqlalchemy import select

from orders.errors import LineAmountsUnknownError
from orders.goods import succeeded_payments
from orders.models.orders import Order
from orders.refunds.allocation import needs_charged_lines, record_charged_lines
from orders.refunds.gateway import RefundGateway, RefundRefusedError, StripeAwayError
from orders.repository import has_id_or_number, lock_order

log = get_logger(__name__)


def fetch_charged_lines(database: Database, gateway: RefundGateway, order_id: str) -> None:
    """Store what Stripe charged for each line, if a refund of lines needs it (`needs_charged_lines`).

    Raises `LineAmountsUnknownError` if Stripe does not answer. If Stripe refuses, or if its line items do not match
    the order, nothing is stored, and the agreed totals count.
    """
    with database.read() as session:
        order = session.scalar(select(Order).where(has_id_or_number(order_id)))
        payments = succeeded_payments(order) if order else []
        payment = payments[0] if payments else None
        if order is None or payment is None or payment.session_id is None or not needs_charged_lines(order, payment):
            return
        order_id = order.id
    try:
        items = gateway.line_items(payment.session_id)
    except StripeAwayError as error:
        raise LineAmountsUnknownError from error
    except RefundRefusedError as reason:
        log.warning(
            "stripe refused to list the line items of a session, refunding lines by their agreed totals",
            order_id=order_id,
            reason=str(reason),
        )
        return
    with database.begin() as session:
        order = lock_order(session, order_id)
        if not record_charged_lines(order, succeeded_payments(order)[0], items):
            log.warning(
                "the line items of a stripe session do not match the order, refunding lines by their agreed totals",
                order_id=order_id,
            )
