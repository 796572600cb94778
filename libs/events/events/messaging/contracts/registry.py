"""The registry of all contracts: the schema of every own event, by type and version."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from events.errors import DecodeError
from events.messaging.contracts.checkout import CheckoutCanceled, CheckoutStarted
from events.messaging.contracts.disputes import DisputeChanged
from events.messaging.contracts.goods import GoodsChanged, StockReturned, StockTaken
from events.messaging.contracts.inventory import (
    ReservationCommitted,
    ReservationDoubted,
    ReservationExpiring,
    ReservationOversold,
    StockLow,
)
from events.messaging.contracts.orders import (
    CustomerErased,
    OrderCanceled,
    OrderExpired,
    OrderShipped,
    OrderSnapshot,
    PaymentPending,
)
from events.messaging.contracts.refunds import RefundChanged
from events.messaging.contracts.reviews import ReviewOpened, ReviewResolved

SCHEMAS: Mapping[tuple[str, int], Schema] = {
    ("checkout.checkout.started", 1): CheckoutStarted(),
    ("checkout.checkout.canceled", 1): CheckoutCanceled(),
    ("orders.order.paid", 1): OrderSnapshot(),
    ("orders.payment.pending", 1): PaymentPending(),
    ("orders.payment.failed", 1): OrderSnapshot(),
    ("orders.order.expired", 1): OrderExpired(),
    ("orders.order.canceled", 1): OrderCanceled(),
    ("orders.review.opened", 1): ReviewOpened(),
    ("orders.review.resolved", 1): ReviewResolved(),
    ("orders.stock.returned", 1): StockReturned(),
    ("orders.stock.taken", 1): StockTaken(),
    ("orders.goods.changed", 1): GoodsChanged(),
    ("orders.order.shipped", 1): OrderShipped(),
    ("orders.refund.succeeded", 1): RefundChanged(),
    ("orders.refund.failed", 1): RefundChanged(),
    ("orders.dispute.opened", 1): DisputeChanged(),
    ("orders.dispute.updated", 1): DisputeChanged(),
    ("orders.dispute.closed", 1): DisputeChanged(),
    ("orders.customer.erased", 1): CustomerErased(),
    ("inventory.reservation.expiring", 1): ReservationExpiring(),
    ("inventory.reservation.doubted", 1): ReservationDoubted(),
    ("inventory.reservation.committed", 1): ReservationCommitted(),
    ("inventory.reservation.oversold", 1): ReservationOversold(),
    ("inventory.stock.low", 1): StockLow(),
}


def dump(event_type: str, version: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as JSON values. Raises `ValidationError` for a missing, unknown or mistyped field on any level."""
    schema = SCHEMAS[event_type, version]
    try:
        document: dict[str, Any] = schema.dump(data)
    except (TypeError, ValueError) as error:  # a field cannot serialize its value
        raise ValidationError(str(error)) from error
    if errors := _differences(data, schema.load(document)):
        raise ValidationError(errors)
    return document


def _differences(given: Any, kept: Any) -> Any:
    """Return the values that a reader would not get as they were given, in marshmallow's error format.

    Fields convert values where they can, so a schema alone would accept a number given as text.
    """
    if isinstance(kept, dict):
        unknown = {name: ["Unknown field."] for name in sorted(given.keys() - kept.keys())}
        return unknown | {
            name: found for name in given.keys() & kept.keys() if (found := _differences(given[name], kept[name]))
        }
    if isinstance(kept, list):
        return {at: found for at, pair in enumerate(zip(given, kept, strict=True)) if (found := _differences(*pair))}
    same = given == kept and isinstance(given, type(kept)) and isinstance(given, bool) == isinstance(kept, bool)
    return [] if same else [f"Not a valid {type(kept).__name__}."]


def load(event_type: str, version: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an own event's data without fields unknown to this version. Raises `DecodeError`."""
    try:
        loaded: dict[str, Any] = SCHEMAS[event_type, version].load(document)
    except KeyError as error:
        raise DecodeError(f"{event_type} version {version} has no contract") from error
    except ValidationError as error:
        raise DecodeError(f"{event_type} version {version} does not match its contract: {error}") from error
    return loaded
