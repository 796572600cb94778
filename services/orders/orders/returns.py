"""Returns to the stock: each piece goes back once, however many refunds it takes.

Pieces that came back from the customer stay in stock, even if their refund fails. A later refund of them returns
nothing again. Pieces that never shipped leave the stock again if their refund fails, because they are owed again.
Inventory books each return once, by its id.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from events.clock import utcnow
from events.messaging import outbox
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.goods import load_requests, to_lines
from orders.models.orders import Order
from orders.models.refunds import RefundRequest
from orders.models.stock_returns import StockReturn


def publish_returns(session: Session, order: Order, request: RefundRequest) -> None:
    """Publish the pieces that go to the stock or leave it because of this refund request's current status.

    The order must be locked. A repeat publishes nothing.
    """
    wanted, done = _wanted(load_requests(session, order)), _done(session, order)
    change = {
        sku: (
            max(0, wanted[sku, True] - done[sku, True]),  # what came back from the customer stays in stock
            wanted[sku, False] - done[sku, False],
        )
        for sku in dict.fromkeys(sku for sku, _ in [*wanted, *done])
    }
    if order.fulfillment_canceled_at is not None:  # nothing is owed again
        change = {sku: (shipped, max(0, unshipped)) for sku, (shipped, unshipped) in change.items()}
    _publish(session, order, "orders.stock.returned", request.id, _select(change, lambda number: max(0, number)))
    _publish(
        session, order, "orders.stock.taken", f"{request.id}-taken", _select(change, lambda number: min(0, number))
    )


def _publish(
    session: Session, order: Order, event_type: str, return_id: str, change: Mapping[str, tuple[int, int]]
) -> None:
    if not change:
        return
    session.add_all(
        StockReturn(
            return_id=return_id,
            sku=sku,
            order_id=order.id,
            shipped=shipped,
            unshipped=unshipped,
            returned_at=utcnow(),
        )
        for sku, (shipped, unshipped) in change.items()
    )
    lines = to_lines({sku: abs(shipped + unshipped) for sku, (shipped, unshipped) in change.items()})
    data = {"order_id": order.id, "checkout_id": order.checkout_id, "return_id": return_id, "lines": lines}
    outbox.add(session, event_type, data, correlation_id=order.checkout_id)


def _select(change: Mapping[str, tuple[int, int]], part: Callable[[int], int]) -> dict[str, tuple[int, int]]:
    parts = {sku: (part(shipped), part(unshipped)) for sku, (shipped, unshipped) in change.items()}
    return {sku: numbers for sku, numbers in parts.items() if any(numbers)}


def _wanted(requests: Collection[RefundRequest]) -> Counter[tuple[str, bool]]:
    """Return the restocked pieces of all refunds that Stripe has made and that have not failed, by sku and shipped."""
    pieces: Counter[tuple[str, bool]] = Counter()
    for request in requests:
        if request.is_unanswered or not request.counts_as_refunded:
            continue
        for line in request.lines:
            if line["restock"]:
                pieces[line["sku"], True] += line["quantity"] - line["unshipped"]
                pieces[line["sku"], False] += line["unshipped"]
    return pieces


def _done(session: Session, order: Order) -> Counter[tuple[str, bool]]:
    """Return the pieces that are in stock by earlier returns, by sku and shipped."""
    pieces: Counter[tuple[str, bool]] = Counter()
    for row in session.scalars(select(StockReturn).where(StockReturn.order_id == order.id)):
        pieces[row.sku, True] += row.shipped
        pieces[row.sku, False] += row.unshipped
    return pieces
