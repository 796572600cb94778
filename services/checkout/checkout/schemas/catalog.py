"""The catalog file."""

from marshmallow import EXCLUDE, Schema, fields

from checkout.schemas.discounts import DiscountEntry
from checkout.schemas.products import ProductEntry
from checkout.schemas.shipping import ShippingEntry


class Catalog(Schema):
    """A catalog file. Inventory reads the same file for the stock of new products."""

    products = fields.List(fields.Nested(ProductEntry(unknown=EXCLUDE)), load_default=list)
    discounts = fields.List(fields.Nested(DiscountEntry(unknown=EXCLUDE)), load_default=list)
    shipping_options = fields.List(fields.Nested(ShippingEntry(unknown=EXCLUDE)), load_default=list)
