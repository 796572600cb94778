"""Returns to the stock: each piece goes back once, also if several refunds name it.

Pieces that came back from the customer stay in stock, even if their refund fails. A later refund of the same pieces
does not return them again. Pieces that never shipped leave the stock again if their refund fails, because they are owed
again. Pieces that were missing when the order was paid never return. If some pieces were missing, the others are first
kept for what is still owed, and only the rest returns.
Inventory books each return once, by its id.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from events.clock import utcnow
from events.messaging import outbox
from events.messaging.contracts.reviews import ReviewReason
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.goods import Goods, load_goods, to_lines
from orders.models.orders import Order
from orders.models.refunds import RefundRequest
from orders.models.stock_returns import StockReturn


def publish_returns(session: Session, order: Order, request: RefundRequest) -> None:
    """Publish the pieces that go to the stock or leave it because of this refund request's current status.

    If the refund failed or was canceled, its pieces that had not shipped are owed again and leave the stock, once.
    Pieces that the customer sent back stay in stock. If the order's fulfillment is canceled, nothing leaves the stock.
    The order must be locked. A repeat publishes nothing.
    """
    session.flush()
    done, wanted = _done(session, order), _wanted(order)
    freed = Counter[str]()  # pieces that are owed again
    if order.fulfillment_canceled_at is None and not request.counts_as_refunded and not _is_taken(session, request):
        for line in request.lines:
            freed[line["sku"]] += line["unshipped"] if line["restock"] else 0
    change = {
        sku: (
            max(0, wanted[sku, True] - done[sku, True]),  # what came back from the customer stays in stock
            max(-freed[sku], wanted[sku, False] - done[sku, False]),
        )
        for sku in dict.fromkeys(sku for sku, _ in [*wanted, *done])
    }
    _publish(session, order, "orders.stock.returned", request.id, _select(change, lambda number: max(0, number)))
    _publish(session, order, "orders.stock.taken", _taken_id(request), _select(change, lambda number: min(0, number)))


def correct_taken(session: Session, return_id: str, missing: Mapping[str, int]) -> None:
    """Record that pieces of a return did not leave the stock again, because they were sold meanwhile.

    `missing` is the number of these pieces by sku.
    """
    for sku, quantity in missing.items():
        if (row := session.get(StockReturn, (return_id, sku))) is not None:
            row.unshipped += quantity


def _taken_id(request: RefundRequest) -> str:
    return f"{request.id}-taken"


def _is_taken(session: Session, request: RefundRequest) -> bool:
    """Return True if pieces of the request have left the stock again."""
    taken = select(StockReturn.sku).where(StockReturn.return_id == _taken_id(request))
    return session.scalars(taken.limit(1)).first() is not None


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


def _wanted(order: Order) -> Counter[tuple[str, bool]]:
    """Return the pieces that belong in the stock, by sku and shipped.

    These are the restocked pieces of all refund requests except unanswered, failed and canceled ones. Unshipped
    pieces count only if they were in stock when the order was paid and are not owed.
    """
    goods, pieces = load_goods(order), Counter[tuple[str, bool]]()
    for request in order.refund_requests:
        if request.is_unanswered or not request.counts_as_refunded:
            continue
        for line in request.lines:
            if line["restock"]:
                pieces[line["sku"], True] += line["quantity"] - line["unshipped"]
                pieces[line["sku"], False] += line["unshipped"]
    present = _present_pieces(order, goods)
    for sku, is_shipped in list(pieces):
        if not is_shipped:
            spare = max(0, present[sku] - goods.owed.get(sku, 0))
            pieces[sku, False] = min(pieces[sku, False], spare)
    return pieces


def _done(session: Session, order: Order) -> Counter[tuple[str, bool]]:
    """Return the pieces that earlier returns put in stock, by sku and shipped.

    Old returns, from before orders recorded which pieces are missing, can be for more pieces than there were. Only
    pieces that were there count, as in inventory.
    """
    pieces: Counter[tuple[str, bool]] = Counter()
    for row in session.scalars(select(StockReturn).where(StockReturn.order_id == order.id)):
        pieces[row.sku, True] += row.shipped
        pieces[row.sku, False] += row.unshipped
    present = _present_pieces(order, load_goods(order))
    for sku in [sku for sku, is_shipped in pieces if not is_shipped]:
        pieces[sku, False] = min(pieces[sku, False], present[sku])
    return pieces


def _present_pieces(order: Order, goods: Goods) -> Mapping[str, int]:
    """Return the bought pieces by sku that were in stock when the order was paid, and have not shipped."""
    missing = Counter[str]()
    for review in order.reviews:
        if review.reason == ReviewReason.OVERSOLD and not review.subject:
            missing.update(review.missing)
    return {sku: max(0, quantity - missing[sku] - goods.shipped.get(sku, 0)) for sku, quantity in goods.bought.items()}
