"""Products, as operators write them and as the shop lists them."""

from events.web.fields import LimitedList
from events.web.pagination import PageArgs
from marshmallow import Schema, ValidationError, fields, validate, validates

from checkout.images import MAX_URL_CHARACTERS as MAX_IMAGE_URL_CHARACTERS
from checkout.images import encode_image, is_allowed_image
from checkout.schemas.shared import NOT_BLANK, Currency, amounts_by_currency, tax_behavior


class ProductFields(Schema):
    """The fields of a product that operators write."""

    group = fields.String(required=True, validate=[validate.Length(1, 64), NOT_BLANK])
    size = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=16), NOT_BLANK])
    name = fields.String(required=True, validate=[validate.Length(1, 200), NOT_BLANK])
    description = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=2000), NOT_BLANK])
    image = fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "An https URL, or a path below the shop's URL."},
    )
    prices = amounts_by_currency(1, required=True)
    tax_code = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"txcd_[0-9]{8}\Z", error="Use a tax code of Stripe, such as txcd_30011000."),
    )
    tax_behavior = tax_behavior()
    tax_rates = LimitedList(
        fields.String(
            validate=validate.Regexp(r"txr_[A-Za-z0-9_]{1,250}\Z", error="Use a tax rate's id at Stripe: txr_…")
        ),
        validate.Length(max=5),
        load_default=list,
        metadata={"description": "Ids of fixed rates at Stripe, for shops without automatic tax."},
    )
    active = fields.Boolean(load_default=True)

    @validates("image")
    def validate_image(self, image: str | None, data_key: str) -> None:  # noqa: ARG002 - marshmallow's
        """Raise `ValidationError` for an image that Stripe's page cannot show."""
        if image is None:
            return
        if not is_allowed_image(image):
            raise ValidationError("Use an https URL, or a path below the shop's URL: /img/shirt.jpg.")
        if len(encode_image(image)) > MAX_IMAGE_URL_CHARACTERS:
            error = (
                f"Use a shorter image URL: encoded in ASCII, it can have {MAX_IMAGE_URL_CHARACTERS} characters at most."
            )
            raise ValidationError(error)


class ProductEntry(ProductFields):
    """A product as it is stored."""

    sku = fields.String(
        required=True,
        validate=validate.Regexp(r"[A-Za-z0-9._-]{1,64}\Z", error="Use 1 to 64 letters, digits, dots, - or _."),
    )


class ProductArgs(PageArgs):
    """The query parameters of the product list."""

    currency = Currency(load_default=None)


class ListedProduct(Schema):
    """A product for sale in one currency; `available` is null while the stock is not known, and at most 100."""

    sku = fields.String()
    group = fields.String()
    size = fields.String(allow_none=True)
    name = fields.String()
    description = fields.String(allow_none=True)
    image = fields.String(allow_none=True)
    unit_amount = fields.Integer()
    currency = fields.String()
    available = fields.Integer(allow_none=True)


class ProductPage(Schema):
    """A page of products."""

    items = fields.List(fields.Nested(ListedProduct))
    next_cursor = fields.String(allow_none=True)
