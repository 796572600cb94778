"""The requests and answers of the inventory's API, and the catalog file."""

from datetime import datetime, timedelta
from typing import Any

from events.clock import utcnow
from events.web.fields import Instant, LimitedList, StrictBoolean
from events.web.pagination import MAX_LIMIT, PageArgs
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates, validates_schema

from inventory.models import ReservationStatus

MAX_SHOWN_AVAILABLE = 100  # pieces, as docstrings say: enough for every cart; exact stock and sales stay private
MAX_PIECES = 1_000_000  # of one sku: more is a typing error, and the columns have 32 bits

CLOCK_TOLERANCE = timedelta(minutes=5)  # the counting device's clock may be ahead
MAX_SKU_BYTES = 255  # of a property of an AMQP message: the sku is the correlation id of `inventory.stock.low`
NOT_BLANK = validate.Regexp(r"(?s).*\S", error="Write some text.")


class SkuCheck(validate.Regexp):
    """A pattern whose matches also have at most `MAX_SKU_BYTES`, so that a message can carry them."""

    def __call__(self, value: Any) -> Any:
        """Return the value. Raises `ValidationError` if it does not match, is too long, or is not valid Unicode."""
        super().__call__(value)
        try:
            fits = len(value.encode()) <= MAX_SKU_BYTES
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise ValidationError(self._format_error(value))
        return value


SKU = SkuCheck(r"[^\x00-\x1f\x7f]{1,64}\Z", error="Use 1 to 64 printable characters, at most 255 bytes in UTF-8.")
CHECKOUT_ID = validate.Regexp(r"[A-Za-z0-9_-]{1,64}\Z", error="Use 1 to 64 letters, digits, - or _.")


class AvailabilityArgs(PageArgs):
    """The query of the availability: one `sku` parameter for each sku, or none for all."""

    skus = LimitedList(fields.String(validate=SKU), validate.Length(max=MAX_LIMIT), data_key="sku", load_default=[])


class Availability(Schema):
    """The pieces of one sku that a cart can reserve. More than 100 are shown as 100."""

    sku = fields.String(required=True)
    available = fields.Integer(required=True)


class AvailabilityPage(Schema):
    """A page of availabilities."""

    items = fields.List(fields.Nested(Availability), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class StockItem(Schema):
    """The stock of one sku. `available` pieces are on hand and not reserved.

    `deficit` pieces are reserved but not on hand: the checkouts that pay last may be oversold. `sold_unshipped` pieces
    are paid and wait for their parcel: they are in the warehouse and not part of `on_hand`.
    """

    sku = fields.String(required=True)
    on_hand = fields.Integer(required=True)
    reserved = fields.Integer(required=True)
    available = fields.Integer(required=True)
    deficit = fields.Integer(required=True)
    sold_unshipped = fields.Integer(required=True)


class StockPage(Schema):
    """A page of stock items."""

    items = fields.List(fields.Nested(StockItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class NewMovement(Schema):
    """A change of a sku's stock: `on_hand` sets the counted number, `adjust` is added (negative: lost pieces).

    A count must not overwrite sales, so it needs `expected` or `counted_at`. `expected` is the `on_hand` that the
    operator saw: the change is refused if the stock differs. `counted_at` is the time of the count: movements after
    it still apply. Sold pieces that wait for their parcel are not part of the count.

    An `adjust` needs `expected` or an Idempotency-Key, so that a repeated request is not applied twice.
    """

    on_hand = fields.Integer(strict=True, validate=validate.Range(0, MAX_PIECES))
    adjust = fields.Integer(strict=True, validate=validate.Range(-MAX_PIECES, MAX_PIECES))
    expected = fields.Integer(strict=True, validate=validate.Range(0, MAX_PIECES))
    counted_at = Instant()
    reason = fields.String(required=True, validate=validate.And(validate.Length(1, 500), NOT_BLANK))

    @validates_schema
    def _require_one(self, data: dict[str, Any], **_: Any) -> None:
        if len(data.keys() & {"on_hand", "adjust"}) != 1:
            raise ValidationError("Send either on_hand or adjust, and not both.", "on_hand")
        if "on_hand" in data and len(data.keys() & {"expected", "counted_at"}) != 1:
            raise ValidationError(
                "Send a count with either expected (the on_hand that you saw) or counted_at (its time).", "expected"
            )
        if "adjust" in data and "counted_at" in data:
            raise ValidationError("Only a count (on_hand) can have counted_at. Leave it out with adjust.", "counted_at")

    @validates("counted_at")
    def _refuse_the_future(self, value: datetime, data_key: str) -> None:  # noqa: ARG002 - marshmallow's
        if value > utcnow() + CLOCK_TOLERANCE:
            raise ValidationError("This time is in the future. Send the time of the count, and check your clock.")


class MovementItem(Schema):
    """One change of `on_hand`. `actor` is the name of the operator's token, or `orders`, `stripe` or `seed`."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    delta = fields.Integer(required=True)
    checkout_id = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True)
    actor = fields.String(required=True)
    occurred_at = fields.AwareDateTime(required=True)


class MovementPage(Schema):
    """A page of movements."""

    items = fields.List(fields.Nested(MovementItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReservationLine(Schema):
    """`quantity` pieces of one sku."""

    sku = fields.String(required=True, validate=SKU)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(1, MAX_PIECES))


class NewReservation(Schema):
    """A checkout's request to reserve its lines."""

    checkout_id = fields.String(required=True, validate=CHECKOUT_ID)
    expires_at = Instant(required=True)
    lines = LimitedList(fields.Nested(ReservationLine), validate.Length(1, 100), required=True)


class ReservationExtension(Schema):
    """A reservation's later end."""

    expires_at = Instant(required=True)


class Reservation(Schema):
    """A checkout's reservation."""

    checkout_id = fields.String(required=True)
    status = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(ReservationLine), required=True)


class ReservationArgs(PageArgs):
    """The query of the reservations; each filter is optional."""

    status = fields.String(load_default=None, validate=validate.OneOf([*ReservationStatus]))
    sku = fields.String(load_default=None, validate=SKU)
    pending = fields.Boolean(
        load_default=None,
        metadata={"description": "`true`: a delayed payment is under way and no session is paid; `false`: all others."},
    )
    expires_before = Instant(load_default=None)


class HeldLine(ReservationLine):
    """A reserved line. `missing` pieces are owed but not in stock, since the payment or since their refund failed."""

    missing = fields.Integer(required=True)


class ReservationSession(Schema):
    """One Stripe session of the checkout, with the last fact about it.

    `payment_status` is the value that Stripe reported.
    """

    session_id = fields.String(required=True)
    status = fields.String(required=True)
    payment_status = fields.String(required=True, allow_none=True)
    reported_at = fields.AwareDateTime(required=True)


class ReservationEntry(Schema):
    """A checkout's reservation, as operators see it."""

    checkout_id = fields.String(required=True)
    status = fields.String(required=True)
    is_pending = fields.Boolean(
        required=True, metadata={"description": "A delayed payment is under way, and no session is paid."}
    )
    expires_at = fields.AwareDateTime(required=True)
    created_at = fields.AwareDateTime(required=True)
    operator_released_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "When an operator released the pieces, which are then never held again; else null."},
    )
    lines = fields.List(fields.Nested(HeldLine), required=True)
    sessions = fields.List(fields.Nested(ReservationSession), required=True)


class ReservationPage(Schema):
    """A page of reservations."""

    items = fields.List(fields.Nested(ReservationEntry), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReservationRelease(Schema):
    """An operator's release, with its reason. `override` also releases while a delayed payment is under way."""

    reason = fields.String(required=True, validate=validate.And(validate.Length(1, 500), NOT_BLANK))
    override = StrictBoolean(load_default=False)


class OpeningStock(Schema):
    """The opening stock of one product in a catalog file."""

    sku = fields.String(required=True, validate=SKU)
    stock = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, MAX_PIECES))


class Catalog(Schema):
    """A catalog file. The inventory reads sku and stock of its products and ignores all other fields."""

    products = fields.List(fields.Nested(OpeningStock(unknown=EXCLUDE)), required=True)

    class Meta:
        unknown = EXCLUDE
